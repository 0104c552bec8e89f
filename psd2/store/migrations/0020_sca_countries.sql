-- Where a confirmation came from, against the browser that it was asked for in:
-- same, other or no_data; '' until there is one. Which country is not kept here.
ALTER TABLE sca_challenges ADD COLUMN country TEXT NOT NULL DEFAULT '';
