package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/sca"
)

// userCommands are the words of "rialto users". Whoever may run them reads the
// database and its key anyway: they are how the first person gets in.
var userCommands = map[string]func(env, []string) error{
	"add": usersAdd, "list": usersList, "role": usersRole, "reset": usersReset,
}

func usersCommand(e env, args []string) error {
	words := strings.Join(slices.Sorted(maps.Keys(userCommands)), ", ")
	if len(args) == 0 {
		return usagef("say what to do: %s", words)
	}
	run, ok := userCommands[args[0]]
	if !ok {
		return usagef("there is no %q, only %s", args[0], words)
	}
	return run(e, args[1:])
}

// withStaff opens the sign-in service of a deployment.
func withStaff(e env, config, origin string, fn func(*sca.Staff) error) error {
	cfg, err := configs.Load(config)
	if err != nil {
		return err
	}
	db, err := openStore(e, cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	service, err := sca.New(sca.Config{Origin: origin}, sca.Deps{Store: db, Now: time.Now, Random: rand.Reader})
	if err != nil {
		return err
	}
	return fn(sca.NewStaff(service, cfg.Staff.Roles))
}

// staffOrigin is where the consoles are when nobody says otherwise.
const staffOrigin = "http://ops.localhost:8403"

// userView is a member of staff as the commands print him.
type userView struct {
	ID     string   `json:"id"`
	Login  string   `json:"login"`
	Name   string   `json:"name"`
	Roles  []string `json:"roles"`
	Active bool     `json:"active"`
	Link   string   `json:"enrolment_link,omitempty"` // works once, for 15 minutes
}

func printUser(e env, asJSON bool, u sca.User, link string) error {
	v := userView{u.ID, u.Login, u.Name, u.Roles, u.Active, link}
	if asJSON {
		return json.NewEncoder(e.stdout).Encode(v)
	}
	fmt.Fprintf(e.stdout, "user   %s\nlogin  %s\nroles  %s\n", v.ID, v.Login, strings.Join(v.Roles, " "))
	if link != "" {
		fmt.Fprintf(e.stdout, "enrol  %s\n       works once, for 15 minutes; give it to nobody else\n", link)
	}
	return nil
}

func usersAdd(e env, args []string) error {
	f := flags(e, "users add")
	config := f.String("config", "", "YAML file of the hub")
	login := f.String("login", "", "login name, without blanks")
	name := f.String("name", "", "name as colleagues know it")
	origin := f.String("origin", staffOrigin, "scheme://host[:port] of the consoles")
	asJSON := f.Bool("json", false, "print JSON")
	var roles list
	f.Var(&roles, "role", "a role of staff.roles (repeatable)")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *login == "" || *name == "" || len(roles) == 0 {
		return usagef("--login, --name and --role are needed")
	}
	return withStaff(e, *config, *origin, func(s *sca.Staff) error {
		u, token, err := s.Add(e.ctx, *login, *name, roles)
		if err != nil {
			return err
		}
		return printUser(e, *asJSON, u, *origin+"/sca/enrol/"+token)
	})
}

func usersList(e env, args []string) error {
	f := flags(e, "users list")
	config := f.String("config", "", "YAML file of the hub")
	asJSON := f.Bool("json", false, "print JSON")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	return withStaff(e, *config, staffOrigin, func(s *sca.Staff) error {
		all, err := s.Users(e.ctx)
		if err != nil {
			return err
		}
		if *asJSON {
			views := make([]userView, len(all))
			for i, u := range all {
				views[i] = userView{ID: u.ID, Login: u.Login, Name: u.Name, Roles: u.Roles, Active: u.Active}
			}
			return json.NewEncoder(e.stdout).Encode(views)
		}
		w := tabwriter.NewWriter(e.stdout, 0, 4, 2, ' ', 0)
		for _, u := range all {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.ID, u.Login, u.Name, strings.Join(u.Roles, " "))
		}
		return w.Flush()
	})
}

func usersRole(e env, args []string) error {
	f := flags(e, "users role")
	config := f.String("config", "", "YAML file of the hub")
	login := f.String("login", "", "whose")
	asJSON := f.Bool("json", false, "print JSON")
	var roles list
	f.Var(&roles, "role", "a role of staff.roles that he has from now on (repeatable; none: he may do nothing any more)")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *login == "" {
		return usagef("--login is needed")
	}
	return withStaff(e, *config, staffOrigin, func(s *sca.Staff) error {
		u, err := s.SetRoles(e.ctx, *login, roles)
		if err != nil {
			return err
		}
		return printUser(e, *asJSON, u, "")
	})
}

func usersReset(e env, args []string) error {
	f := flags(e, "users reset")
	config := f.String("config", "", "YAML file of the hub")
	login := f.String("login", "", "who has lost his factors")
	origin := f.String("origin", staffOrigin, "scheme://host[:port] of the consoles")
	asJSON := f.Bool("json", false, "print JSON")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *login == "" {
		return usagef("--login is needed")
	}
	return withStaff(e, *config, *origin, func(s *sca.Staff) error {
		u, token, err := s.Reset(e.ctx, *login)
		if err != nil {
			return err
		}
		return printUser(e, *asJSON, u, *origin+"/sca/enrol/"+token)
	})
}
