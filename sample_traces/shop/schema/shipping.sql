CREATE TABLE shipment (order_id int PRIMARY KEY, address text, state text);
