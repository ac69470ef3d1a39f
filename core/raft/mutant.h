/* Known bugs of Raft implementations, compiled in one at a time with -DRAFT_MUTANT=n to prove that the tests see them
 * (tests/sim/mutants.sh). Without the definition every MUTANT(n) is the constant false. */
#ifndef CHRONOS_RAFT_MUTANT_H
#define CHRONOS_RAFT_MUTANT_H

#ifndef RAFT_MUTANT
#define RAFT_MUTANT 0
#endif
#define MUTANT(n) (RAFT_MUTANT == (n))

#endif
