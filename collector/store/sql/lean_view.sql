-- Shadows the view of the same name for one query.
CREATE OR REPLACE TEMP VIEW $view AS
SELECT $columns FROM store.plain_$view;
