-- What the fan-out has put off of a merchant who has many events at many
-- endpoints: the deliveries of his events behind cursor, up to until_position,
-- are still to be made.
CREATE TABLE webhook_backlog (
  merchant_id    TEXT PRIMARY KEY,
  cursor         BIGINT NOT NULL,
  until_position BIGINT NOT NULL
);
