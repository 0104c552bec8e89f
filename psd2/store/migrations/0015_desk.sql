-- Holds are decided by two, and follow a person to every merchant he plays at.
-- Cases can be joined and split.
ALTER TABLE compliance_holds ADD COLUMN proposal TEXT NOT NULL DEFAULT '';
CREATE INDEX compliance_holds_decided ON compliance_holds (object_id) WHERE object_id <> '';

-- Who a held person is at other merchants: keyed hashes of name and birth date.
CREATE TABLE compliance_hold_identities (
  hold_id  TEXT NOT NULL REFERENCES compliance_holds (id),
  identity TEXT NOT NULL,
  PRIMARY KEY (hold_id, identity)
);
CREATE INDEX compliance_hold_identities_of ON compliance_hold_identities (identity);

-- A joined case ends, and says where its alerts have gone. An alert's subject
-- may then be another than its case's.
ALTER TABLE compliance_cases ADD COLUMN joined_to TEXT NOT NULL DEFAULT '';
CREATE INDEX compliance_alerts_subject ON compliance_alerts (subject);

-- The newest decisions, for what the rules could not judge.
CREATE INDEX monitor_decisions_updated ON monitor_decisions (updated_at);
