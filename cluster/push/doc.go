// Package push gives all members of a cluster a new configuration, or none.
//
// # The protocol
//
// One member coordinates. It asks every live member, itself among them, to
// prepare: to do everything that can fail and keep the result ready. Only when
// all have answered that they are, and the list of members read again holds
// nobody else, it decides. The decision is a row that gossip keeps for an hour,
// and it is spread before anybody switches. A member that has prepared switches
// when it learns of the decision, by whatever way: from the coordinator, from
// another member, or an hour later when it is back.
//
//	coordinator   prepare ──▶ all     …all prepared…   decision ──▶ all     report
//	member              check, build, write ──▶ answer       switch ──▶ answer
//
// A push has one of three outcomes. Committed: every member confirmed that it
// has switched. Refused: nobody switched and nobody will. Partial: it was
// decided, and some did not confirm in time; they are named.
//
// # What it promises
//
// A member runs the old configuration or the new one, never parts of both. Every
// member that was live when the decision fell had agreed to it. The coordinator
// itself switches only after another one has confirmed: if it dies before, the
// decision dies with it or is known to somebody who passes it on.
//
// A member holds prepared work ready, and other changes back, for ten seconds.
// After that it is free again, but keeps what it prepared for as long as a
// decision can reach it. Hearing of one it switches if it still runs what the
// push was based on; hearing of nothing it forgets.
//
// # What it is not
//
// This is a prepared commit with bounded skew, not consensus. There is no
// quorum: two halves of a partition can each push to themselves, and then differ
// until somebody decides which is right. Two pushes at once keep each other from
// being prepared; both may be refused. Whoever holds the gossip key can push.
//
// # How it is built
//
// A Pusher is one goroutine that owns the member's side (seat) and takes in all
// messages, those to itself too; a push runs in its caller's goroutine (round).
// What is to be switched, and how, is the caller's: Config.
package push
