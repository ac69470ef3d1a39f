/* The wall clocks of the members, as beats and their answers tell them. Rule: the leader's clock decides, as long as it lies within
 * scheduler.clock_tolerance of the middle of those that a majority has told lately; otherwise nothing is decided, and somebody else
 * is to lead. Every other node takes the leader's clock for its own where the two lie far apart. Loop thread.
 *
 * What is kept of a clock is its distance from this node's monotonic one, so it stays true when this node's wall clock is set. Frames
 * take time, which makes a clock seem late and never early: the largest of a few distances is the best. So another node's clock that
 * was set back is seen after CLOCK_SAMPLES beats; this node's own at once. */
#ifndef CHRONOS_CLUSTER_CLOCKS_H
#define CHRONOS_CLUSTER_CLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "raft/conf.h"
#include "transport/hello.h"

struct cluster;

enum {
    CLOCK_SAMPLES = 8,
    CLOCK_FRESH_MS = 10000, /* ten of the longest time between two beats */
    CLOCK_NOTED_MS = 500,   /* from here on the distance is logged, and the leader's clock taken in place of an own one */
};

#define CLOCK_WALL_MAX_MS INT64_C(253402300799999) /* the end of the year 9999: nothing that is made of it overflows */

struct clock_seen {
    uint64_t node;
    int64_t heard_ms;                 /* monotonic */
    int64_t distances_ms[CLOCK_SAMPLES]; /* wall clock there less the monotonic one here; a ring */
    uint32_t samples;                 /* 0: it does not tell its time, being of an older version */
    bool is_noted;                    /* as far off: logged */
};

struct clocks {
    struct clock_seen seen[RAFT_MEMBERS_MAX];
    uint32_t count;
    bool is_wrong; /* this node's, while it leads: logged */
};

enum clock_verdict {
    CLOCK_UNKNOWN, /* too few have told their time */
    CLOCK_RIGHT,
    CLOCK_WRONG,
};

/* --- of what was heard --- */
/* wall_ms 0: it did not say. */
void clocks_heard(struct clocks *clocks, uint64_t node, int64_t wall_ms, int64_t monotonic_ms);
/* How far the clock of that node is ahead of this one's; false: not known. */
bool clocks_offset(const struct clocks *clocks, uint64_t node, int64_t wall_ms, int64_t monotonic_ms, int64_t *ret_ms);
/* Of this node's clock among those of the voters. ret_middle_ms: how far their middle is ahead of it, 0 unless CLOCK_WRONG. */
enum clock_verdict clocks_judge(const struct clocks *clocks, const struct raft_conf *conf, uint64_t self, int64_t wall_ms,
                                int64_t monotonic_ms, int64_t tolerance_ms, int64_t *ret_middle_ms);

/* --- of a node --- */
/* In every beat and every answer: the time here. */
int64_t clocks_wall_ms(const struct cluster *cluster);
void clocks_told(struct cluster *cluster, const struct hello *remote, int64_t wall_ms);
/* With each own beat: the leader whose clock is wrong hands over to whoever is nearest to the middle. */
void clocks_look(struct cluster *cluster);

#endif
