// Package cluster lets the nodes of one gateway find each other and share
// small pieces of state by gossip.
//
// # What it does
//
// A Peer is this node's membership in the cluster. It knows who else is
// there (Members, Size), and it carries the bytes of any State handed to
// Share, without knowing what they mean. A change travels twice: at once, as
// one message to every member, and as part of the full state that two members
// exchange when one joins and every 15 seconds from then on. The first way is
// fast and may lose messages; the second repairs whatever was lost. This is
// why a State must merge in any order and any number of times.
//
// # Finding each other
//
// Join names may stand for many addresses (a compose service, a headless
// service). They are looked up again and again, every address not yet a
// member is contacted, and the node's own is left out. Members that were lost
// without saying farewell are looked for where they were. So a node that
// started first, a cluster that grew and two halves of a healed partition all
// meet without anybody's help. A node never waits for others: alone it is a
// complete cluster of one. The address it tells them is the one it reaches
// them from; when that changes it leaves and joins again under its name.
//
// # The trade-off
//
// Membership is eventual. A leave is known in well under a second, a crash in
// some five to twelve seconds, and for that long members disagree on how many
// they are; a node that comes back sooner, at its old address, takes the place
// of its former life at once. There is no leader, no lock and no order
// between the messages of different members; what needs those does not belong
// here. Every member is sent every message directly, which is quick for the
// tens of nodes a gateway has and wrong for thousands.
//
// # When things fail
//
// Nothing here blocks a request. Queues in both directions are bounded: what
// does not fit is dropped, counted, and repaired by the next full exchange.
// An unreachable join address is logged when its state changes, counted each
// time and tried again. A member with another key or label is refused by both
// sides, counted, and logged once a minute. Messages above 6 MiB, malformed
// state and more than 16 MiB waiting are refused. Whoever holds the key is a
// full member and may say anything, so a State must not trust its input with
// more than that.
package cluster
