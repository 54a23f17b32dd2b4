DELETE FROM store.requests WHERE received < $since;
