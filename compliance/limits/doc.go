// Package limits keeps a person's monthly deposit limit (GlüStV 2021 §6c(1)): 1,000 euro a calendar month at all merchants together,
// or what the person has set himself. The authority is the central limit file. It is asked first, and its answer carries the person's
// limit; that is kept, and the hub's own count and rule R10 go by it. Without an authority the own count decides alone.
//
//		Reserve ──▶ reserved ──Confirm (money moved)──▶ confirmed
//		   │            └─────Release (it certainly did not)──▶ released
//		   └──▶ refused, with what is still possible
//
//	  - Counting is one conditional update, so two deposits at once cannot both take the rest.
//	  - The limit service is asked outside of any database transaction. No answer is a refusal (fail closed), and since the service may
//	    have reserved all the same, it is told to release until it has heard.
//	  - A reservation goes out with its order: Hold keeps it in the transaction that commits the order, so that what another tab's refusal
//	    withdraws is not sent. What is paid less than reserved is free again, here at once and there with the confirmation.
//	  - A reservation is kept while an outcome is unknown: nothing but Confirm and Release ends it, and Step tells the service in the
//	    background until it answers. All three calls may be repeated.
//
// Tables: limit_months and limit_reservations of migration 0006, limit_persons of 0017. limits/limitsandbox is a limit service to try
// things with. psd2/hub and compliance/monitor reach the package through interfaces of their own.
package limits
