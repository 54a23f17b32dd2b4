CREATE SEQUENCE order_number;
CREATE TABLE customer (id int PRIMARY KEY, email text, address text, credit int);
INSERT INTO customer
SELECT id, 'customer' || id || '@example.com', id || ' Sample Street', 100 FROM generate_series(0, 99) AS id;
CREATE TABLE customer_order (id int PRIMARY KEY, customer int, amount int, state text);
CREATE TABLE order_line (order_id int, sku int, units int);
CREATE INDEX ON order_line (sku);
