CREATE TABLE cart_line (cart int, sku int, units int, price int);
CREATE INDEX ON cart_line (cart);
-- The decoupled cart keeps the prices it was told.
CREATE TABLE price (sku int PRIMARY KEY, price int);
INSERT INTO price SELECT sku, 5 + sku % 40 FROM generate_series(1, 60) AS sku;
