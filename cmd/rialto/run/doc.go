// Package run puts a hub together from its configuration and keeps it going:
// it opens the database, NATS and the listeners, builds bank adapters and
// rooms, and drives every Step function until it is told to stop.
//
//	public  API and hosted pages        /v1 /oauth /.well-known /docs · /p /pay /return
//	ops     the operators' pages
//	admin   /healthz /readyz /metrics
package run
