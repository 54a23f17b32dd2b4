DELETE FROM store.$table WHERE hour = $$hour;
