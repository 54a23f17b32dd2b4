-- Small files become large ones, rows in the catalog become files, files with many deleted rows are written anew; what
-- no snapshot needs goes. Each is a step of its own: $step is one of those of collector/store/lake.py.
SELECT count(*) FROM $step;
