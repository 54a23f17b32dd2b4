-- `available` is the catalogue's own idea of the stock: the decoupled shop shows it, the monolith asks instead.
CREATE TABLE product (sku int PRIMARY KEY, name text, price int, available boolean DEFAULT true);
INSERT INTO product SELECT sku, 'product ' || sku, 5 + sku % 40 FROM generate_series(1, 60) AS sku;
