-- What is kept of the hours in [begin, end) of one environment, in no order.
SELECT * FROM store.$table
WHERE hour >= $$begin AND hour < $$end AND environment = $$environment;
