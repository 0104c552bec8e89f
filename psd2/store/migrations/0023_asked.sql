-- How often a delivery was asked for while it was pending: a try that began
-- before does not end it.
ALTER TABLE webhook_deliveries ADD COLUMN asked BIGINT NOT NULL DEFAULT 0;
