// Package store is the database: opening it, transactions, sealing, migrations,
// payments and the journal. One code and one SQL serve SQLite (the default;
// one process) and PostgreSQL (many processes).
//
// # Transactions
//
// DB.Tx runs a function as one logical transaction with one fixed time. On
// PostgreSQL that is a transaction of its own. On SQLite a single writer runs
// many logical transactions inside one physical one and commits them together:
// many answers, one fsync, during which the next ones already run. When one of
// them fails after it wrote, the group is rolled back and run again, each behind
// a savepoint, so that it fails alone. No one hears what became of his
// transaction, or reads what another one wrote, before that is durable.
//
// # Payments and journal
//
// UpdatePayment loads a payment, applies a function, and writes it back if its
// version is still the same, together with the events the function caused;
// else it starts again, and on PostgreSQL holds the row's lock that time. The
// journal is the outbox, read by position. On PostgreSQL rows carry none until
// the Sequencer, which sees committed rows only, gives them one: so a transaction
// that commits late is never skipped. On SQLite, where one transaction writes at
// a time, nothing commits late, and rows are written with their position: one
// commit less on an event's way. There the newest events also stay in memory for
// a moment (recent.go), for those who follow the journal closely.
//
// Payments and transfers are kept by the same code (aggregate.go). Creating a
// refund goes through its payment's version, so that refunds cannot exceed it.
//
// # Books
//
// What must come up on a payee account's statement, what has come up, and the
// double-entry ledger of both are in books.go; settlements.go compares them.
//
// # Sealing
//
// Personal fields are encrypted with AES-256-GCM under a data key per person,
// which is itself wrapped by the deployment's key; additional data are table,
// row and column, so that a value moved elsewhere does not open. Look-ups by
// equality use a keyed hash. Deleting a person's key erases him: what is not
// personal of his payments and events can still be read.
//
// Other capabilities keep their own tables here (migrations/) and query them
// through Tx; each table belongs to one package.
package store
