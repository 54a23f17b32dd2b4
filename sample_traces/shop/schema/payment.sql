CREATE TABLE payment (order_id int PRIMARY KEY, amount int, state text);
