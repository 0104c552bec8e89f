package casino

import "net/http"

// Script plays suspicious customers, when somebody asks for it.
type Script interface {
	Play() bool // false: a play is on already
	Progress() Progress
}

// Progress is how far a play has come.
type Progress struct {
	Running  bool   `json:"running"`
	Seed     uint64 `json:"seed"`
	Done, Of int
	Wrong    int    // acts that could not be played
	Error    string // of the last of them
	Lines    []Line
}

// Line is how far one typology has come.
type Line struct {
	Name     string
	Rules    string // that should fire
	Done, Of int
	Paid     int
	Stopped  int // by the payer, his bank or the hub; the casino cannot tell, and shall not
	Wrong    int
}

// Left is how many acts are to come.
func (l Line) Left() int { return l.Of - l.Done }

// play is POST /play: nothing plays by itself.
func (c *Casino) play(w http.ResponseWriter, r *http.Request) {
	if c.cfg.Script == nil {
		http.NotFound(w, r)
		return
	}
	c.cfg.Script.Play() // a second press joins the play that is on
	http.Redirect(w, r, "/#play", http.StatusSeeOther)
}
