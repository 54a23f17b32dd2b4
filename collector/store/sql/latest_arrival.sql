SELECT greatest((SELECT max(received) FROM store.spans), (SELECT max(received) FROM store.metrics)) AS latest;
