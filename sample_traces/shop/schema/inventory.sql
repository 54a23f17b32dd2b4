-- Product 7 runs out early.
CREATE TABLE stock (sku int PRIMARY KEY, units int CHECK (units >= 0));
INSERT INTO stock SELECT sku, CASE sku WHEN 7 THEN 4 ELSE 100000 END FROM generate_series(1, 60) AS sku;
