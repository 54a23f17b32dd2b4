CREATE TABLE notification (order_id int, email text, sent_at timestamptz DEFAULT now());
CREATE TABLE digest (id serial PRIMARY KEY, mails int);
