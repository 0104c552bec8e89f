-- All that is kept of one person, to hand it to him or to erase it.
CREATE INDEX payments_person ON payments (person_id, id);
CREATE INDEX transfers_person ON transfers (person_id, id);
CREATE INDEX payment_sources_person ON payment_sources (person_id);
