-- A player's payments and transfers are found by his person (migration 0011).
-- player_hash, which an erasure empties, only says whether they are still his.
DROP INDEX payments_player;
DROP INDEX transfers_player;
