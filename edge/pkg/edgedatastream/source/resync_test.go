// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"testing"

	"github.com/kubeedge/datastream/pkg/media"
)

func TestResync(t *testing.T) {
	for name, tc := range map[string]struct {
		miss  bool
		units []media.AccessUnit
		want  []bool
	}{
		"nothing missed": {units: []media.AccessUnit{{PTS: 0}, {PTS: 2, RandomAccess: true}, {PTS: 1}}, want: []bool{true, true, true}},
		"missed": {miss: true, units: []media.AccessUnit{
			{PTS: 0}, {PTS: 5, RandomAccess: true}, {PTS: 3}, {PTS: 4}, {PTS: 6}, {PTS: 9, RandomAccess: true}, {PTS: 8},
		}, want: []bool{false, true, false, false, true, true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			var r Resync
			if tc.miss {
				r.Miss()
			}
			for i := range tc.units {
				if got := r.Admit(&tc.units[i]); got != tc.want[i] {
					t.Errorf("unit %d: admitted %t", i, got)
				}
			}
		})
	}
}

func TestRegistry(t *testing.T) {
	made := &Spec{}
	r := Registry{"test": func(s Spec) (Source, error) { *made = s; return nil, nil }}
	if _, err := r.New("TEST://u:secret@host/path", Spec{MaxPayload: 7}); err != nil || made.URL.Host != "host" || made.MaxPayload != 7 {
		t.Errorf("made of %+v: %v", made, err)
	}
	for _, u := range []string{"", "other://u:secret@host/", "test://u:secret@%zz/"} {
		_, err := r.New(u, Spec{})
		if e := (*Error)(nil); !errors.As(err, &e) || e.Reason != InvalidEndpoint {
			t.Errorf("%s: %v", u, err)
		}
	}
}
