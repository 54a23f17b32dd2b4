-- The decoupled service's own summary of what is bought together.
CREATE TABLE also_bought (sku int, other int, times int);
INSERT INTO also_bought
SELECT sku, 1 + (sku * 7 + other) % 60, 10 - other FROM generate_series(1, 60) AS sku, generate_series(1, 4) AS other;
