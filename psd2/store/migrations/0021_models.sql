-- Every version of the fraud score that has watched, to act and to be judged by
-- again; and what each said of a transaction, since a newer one may watch while
-- an older one acts.
CREATE TABLE monitor_models (
  version  TEXT PRIMARY KEY, -- hash of what decides
  model    TEXT NOT NULL, -- JSON
  since    BIGINT NOT NULL
);

ALTER TABLE monitor_scores RENAME TO monitor_scores_of_one;
DROP INDEX monitor_scores_at;
CREATE TABLE monitor_scores (
  transaction_id TEXT NOT NULL,
  model          TEXT NOT NULL, -- version
  novelty        BIGINT NOT NULL, -- millionths
  risk           BIGINT NOT NULL, -- millionths; -1 without a regression
  numbers        TEXT NOT NULL, -- JSON, in the order of the model's columns
  at             BIGINT NOT NULL,
  PRIMARY KEY (transaction_id, model)
);
INSERT INTO monitor_scores SELECT transaction_id, model, novelty, risk, numbers, at FROM monitor_scores_of_one;
DROP TABLE monitor_scores_of_one;
CREATE INDEX monitor_scores_at ON monitor_scores (model, at);
