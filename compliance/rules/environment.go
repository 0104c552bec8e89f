package rules

import (
	"math"
	"slices"
)

// entityKinds are whom alerts can be about.
var entityKinds = []string{"player", "person", "iban", "device", "network", "merchant"}

// source is something a rule may need.
type source struct {
	name string
	has  func(*Fact) bool
}

// needs are the sources by name.
var needs = map[string]func(*Fact) bool{
	"holder":     func(f *Fact) bool { return f.HolderMatch != nil },
	"payee":      func(f *Fact) bool { return f.HolderMatch != nil || f.VoP != "" && f.VoP != "NOAP" },
	"iban":       func(f *Fact) bool { return f.IBAN != "" },
	"device":     func(f *Fact) bool { return f.Device != "" },
	"network":    func(f *Fact) bool { return f.Network != "" },
	"ip_country": func(f *Fact) bool { return f.IPCountry != "" },
	"residence":  func(f *Fact) bool { return f.Residence != "" },
	"place":      func(f *Fact) bool { return f.Place != nil },
	"asn":        func(f *Fact) bool { return f.Hosting != nil },
	"kyc":        func(f *Fact) bool { return f.KYC != "" },
	"stake":      func(f *Fact) bool { return f.Stake != nil },
	"registered": func(f *Fact) bool { return f.RegisteredAt != nil },
	"age":        func(f *Fact) bool { return f.HolderAge != nil },
	"person":     func(f *Fact) bool { return f.PersonLinked },
	"screening":  func(f *Fact) bool { return f.Screening != nil },
	"pep":        func(f *Fact) bool { return f.PEP != nil },
	"mule_list":  func(f *Fact) bool { return f.MuleListed != nil },
	"vasp_list":  func(f *Fact) bool { return f.VASPListed != nil },
	"purpose":    func(f *Fact) bool { return f.Keyword != nil },
}

// factTypes are the facts an expression may read, by type. What is not known
// has a value that cannot hit; the needs of the rule then say no_data.
func factTypes() map[string]any {
	s := newScope(&Fact{Kind: HourEnd}, &History{})
	env := map[string]any{}
	s.facts(env, ShippedLists(), map[string]float64{})
	return env
}

// facts puts the transaction's own facts into an environment.
func (s *scope) facts(env map[string]any, lists *Lists, limits map[string]float64) {
	f := s.f
	env["kind"] = string(f.Kind)
	env["amount"] = float64(f.Amount)
	env["gambling"] = f.Gambling
	env["holder_match"] = orElse(f.HolderMatch, 1)
	env["vop"] = f.VoP
	env["iban_known"] = f.IBAN != ""
	env["iban_country"] = f.IBANCountry
	env["ip_country"] = f.IPCountry
	env["residence"] = f.Residence
	env["verified"] = f.KYC == "" || f.KYC == "verified"
	env["registered_known"] = f.RegisteredAt != nil
	hours := 0.0
	if f.RegisteredAt != nil {
		hours = f.At.Sub(*f.RegisteredAt).Hours()
	}
	env["account_hours"] = hours
	env["stake_known"] = f.Stake != nil
	env["stake"] = float64(orElse(f.Stake, 0))
	env["hosting"] = orElse(f.Hosting, false)
	env["mule_listed"] = orElse(f.MuleListed, false)
	env["vasp_listed"] = orElse(f.VASPListed, false)
	env["keyword"] = orElse(f.Keyword, "")
	env["other_named"] = orElse(f.PurposeMatch, 1) < limits["own_name"]
	env["age_known"] = f.HolderAge != nil
	env["holder_age"] = float64(orElse(f.HolderAge, 0))
	env["foreign_refund"] = f.Kind == Refund && f.SourceIBAN != "" && f.IBAN != "" && f.SourceIBAN != f.IBAN
	env["month_limit"] = limits["month_limit"]
	if f.MonthLimit != nil {
		env["month_limit"] = float64(*f.MonthLimit)
	}
	screening, pep := orElse(f.Screening, Screening{}), orElse(f.PEP, PEP{})
	env["sanctions_score"], env["sanctions_agrees"] = screening.Score, screening.Agrees
	env["pep_score"], env["pep_year_agrees"] = pep.Score, pep.YearAgrees
	env["call_for_action"], env["eu_high_risk"] = lists.risk(f)
	env["travel_kmh"] = s.travel()
	n, _ := s.chipDump(limits["chip_band"])
	env[chipDump] = n
	s.hourFacts(env)
}

func orElse[T any](p *T, or T) T {
	if p == nil {
		return or
	}
	return *p
}

// travel is the speed from the player's last known place, in km/h. Two places
// closer than 50 km are one: addresses are not exact.
func (s *scope) travel() float64 {
	if s.f.Place == nil || s.f.Kind != Deposit {
		return 0
	}
	list := s.h.Player
	for i := len(list) - 1; i >= 0; i-- {
		o := &list[i]
		if !o.Placed || o.ID == s.self.ID {
			continue
		}
		km := distance(o.Lat, o.Lon, s.self.Lat, s.self.Lon)
		if km < 50 {
			return 0
		}
		return km / max(float64(s.self.At-o.At)/hourMicros, 1.0/60)
	}
	return 0
}

// distance is the great circle's, in km.
func distance(fromLat, fromLon, toLat, toLon int64) float64 {
	const rad, earth = math.Pi / 180, 6371
	lat1, lon1, lat2, lon2 := float64(fromLat)/1e6, float64(fromLon)/1e6, float64(toLat)/1e6, float64(toLon)/1e6
	a := math.Pow(math.Sin((lat2-lat1)*rad/2), 2) + math.Cos(lat1*rad)*math.Cos(lat2*rad)*math.Pow(math.Sin((lon2-lon1)*rad/2), 2)
	return 2 * earth * math.Asin(math.Sqrt(min(a, 1)))
}

// chipDump names the feature and evidence of R33: how many other players on
// the same device or address paid in, within a day, about what this one takes
// out.
const chipDump = "chip_dump"

func (s *scope) chipDump(band float64) (float64, []string) {
	if s.f.Kind != Payout {
		return 0, nil
	}
	type other struct {
		sum int64
		ids []string
	}
	others, counted := map[string]*other{}, map[string]bool{}
	for n, list := range [][]Observation{s.h.Device, s.h.Network} {
		for i := len(list) - 1; i >= 0 && list[i].At >= s.self.At-24*hourMicros; i-- {
			o := &list[i]
			if o.Player == s.self.Player || o.Player == "" || o.Kind != Deposit || !o.Status.counts() || counted[o.ID] || n == 1 && (o.IP == "" || o.IP != s.self.IP) {
				continue
			}
			counted[o.ID] = true
			if others[o.Player] == nil {
				others[o.Player] = &other{}
			}
			others[o.Player].sum += o.Amount
			others[o.Player].ids = append(others[o.Player].ids, o.ID)
		}
	}
	n, ids := 0.0, []string(nil)
	for _, o := range others {
		if math.Abs(float64(o.sum-s.self.Amount)) <= band*float64(s.self.Amount) {
			n++
			ids = append(ids, o.ids...)
		}
	}
	slices.Sort(ids)
	return n, ids
}

const weekHours = 7 * 24

// hourFacts compares the hour that has ended with the merchant's past.
func (s *scope) hourFacts(env map[string]any) {
	var now Hour
	var week Hour
	var same []float64
	last := s.f.At.Unix() / 3600
	if s.f.Kind == HourEnd {
		for _, h := range s.h.Hours {
			switch {
			case h.Hour == last:
				now = h
			case h.Hour > last:
				continue
			default:
				if last-h.Hour < weekHours {
					week.Deposits += h.Deposits
					week.Failed += h.Failed
				}
				if d := last - h.Hour; d%24 == 0 && d <= 28*24 {
					same = append(same, float64(h.Sum))
				}
			}
		}
	}
	env["hour_n"], env["hour_sum"], env["hour_median"] = float64(now.Deposits), float64(now.Sum), median(same)
	env["hour_tried"], env["hour_approval"] = now.approval()
	env["week_tried"], env["week_approval"] = week.approval()
}

func (h Hour) approval() (tried, share float64) {
	tried = float64(h.Deposits + h.Failed)
	if tried == 0 {
		return 0, 0
	}
	return tried, float64(h.Deposits) / tried
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
