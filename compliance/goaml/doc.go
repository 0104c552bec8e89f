// Package goaml writes reports of suspicion in goAML XML (UNODC, schema 5.0.x)
// for the financial intelligence unit of one country.
//
//	missing := goaml.Check(report, profile)   // what GwGMeldV §3 asks for and is not there
//	err := goaml.Write(w, report, profile)    // refuses while anything is missing
//
// goAML is one schema with a code list per country, and the lists are not
// public everywhere: the German one is in the FIU's closed area. So everything
// that differs is a Profile, read from a file that the deployment configures;
// a code it does not have is said to be missing and never invented. What a
// profile's schema would refuse (a pattern without umlauts, say) is for the
// profile's owner to check with the schema he has; names are written as they
// are.
//
// The package is pure: no clock, no database, no network. It imports psd2 for
// money and IBANs alone.
package goaml
