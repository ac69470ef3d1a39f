/* Every limit of the core, with its reason. A limit with a config key names it; each is hit by a test.
 * What a caller gets at a limit is a clear refusal, never growth. */
#ifndef CHRONOS_BASE_LIMITS_H
#define CHRONOS_BASE_LIMITS_H

enum {
    /* JSON and YAML from users: deeper nesting has no use and costs stack. */
    JSON_DEPTH_MAX = 32,
    YAML_DEPTH_MAX = 16,
    YAML_SIZE_MAX = 1 << 20,
    YAML_NODES_MAX = 65536,          /* values of one file: bounds memory at about 10 MiB */
    CONFIG_PROBLEMS_MAX = 50,        /* reported at once; mending these shows the rest */
    CONFIG_LIST_MAX = 64,            /* elements of one list: peers, plugins, executor groups */
    CONFIG_TEXT_MAX = 4095,          /* bytes of one typed value; as PATH_MAX */

    /* Jobs. */
    JOB_NAME_MAX = 128,              /* bytes; shown in tables, metrics and logs */
    JOB_DESCRIPTION_MAX = 4096,
    JOB_DOCUMENT_MAX = 256 * 1024,   /* normalised JSON of one job; an entry must hold it */
    JOB_TAGS_MAX = 64,
    JOB_TAG_KEY_MAX = 63,
    JOB_TAG_VALUE_MAX = 255,
    JOB_SCHEDULES_MAX = 16,          /* members of a schedule array */
    JOB_SCHEDULE_TEXT_MAX = 1024,
    JOB_VERSIONS_KEPT = 20,          /* older ones leave unless a run still uses them */
    JOB_CONCURRENT_MAX = 1000,       /* upper bound of max_concurrent */
    JOB_WAITING_MAX = 1000,          /* runs of one job that wait */
    JOBS_MAX = 1000000,
    NODE_NAME_MAX = 63,              /* as a DNS label */
    NODE_TAGS_MAX = 16,              /* of a node, and those that a job asks for */
    NODE_TAG_KEY_MAX = 63,
    NODE_TAG_VALUE_MAX = 63,         /* bytes; both stand in the row of a node, which is read with every assignment */
    NODE_ADDRESS_MAX = 127,          /* of a node's link, host:port; as in configurations of the cluster */

    /* Log entries (docs/formats.md, "Log store"). */
    ENTRY_SIZE_MAX = 1 << 20,
    DECISIONS_PER_ENTRY_MAX = 512,
    DECISION_ENTRY_BYTES_MAX = 128 * 1024,
    APPLY_ENTRIES_MAX = 4096,        /* one state transaction */
    APPLY_BYTES_MAX = 4 << 20,
    PROPOSALS_MAX = 16384,           /* in flight; beyond: OVERLOADED */
    PROPOSAL_BYTES_MAX = 64 << 20,
    FORWARDS_MAX = 4096,             /* requests to the leader that wait on one node, and those that it does for others */
    OUTPUT_PIECE_MAX = 256 * 1024,   /* bytes of a run's output in one message between nodes */
    OUTPUT_REQUESTS_MAX = 32,        /* that one node has asked for: all their pieces find room in one outbox */
    TRAILING_ENTRIES = 100000,       /* kept behind the synced state */
    TRAILING_BYTES = 256 << 20,
    CUT_BATCH_MAX = 4096,            /* entries deleted in one log transaction */
    SWEEP_DELETE_MAX = 512,          /* executions deleted by one entry */
    SWEEP_EXAMINE_MAX = 4096,        /* and looked at */
    PROPOSE_DEADLINE_MS = 5000,      /* then 504 OUTCOME_UNKNOWN */
    NO_QUORUM_ELECTIONS = 3,         /* election timeouts without a leader: no election that merely takes its time */

    /* Snapshots: memory that writing or reading one takes, a few times a block. */
    SNAPSHOTS_KEPT_MAX = 100,        /* cluster.raft.retain_snapshots */
    SNAPSHOT_BLOCK_BYTES = 1 << 20,  /* rows that are compressed, checked and loaded together; the last one may reach beyond */
    SNAPSHOT_HEADER_MAX = 8192,
    CHECK_PROBLEMS_MAX = 100,        /* that `chronos store check` shows; more help nobody */
    SNAPSHOT_CONF_MAX = 4096,        /* an encoded configuration of the cluster; the largest has 3,315 bytes */

    /* Schedules. */
    SCHEDULE_YEARS_MAX = 8,          /* nothing within so many years: refused */
    WALK_INSTANTS_PER_TURN = 1000,   /* slots evaluated for one job in one loop turn */
    MARK_AHEAD_MENDED_MS = 300000,   /* a mark so far ahead of an explicit edit is a clock's error: the edit mends it */
    GAP_COUNT_MAX = 100000,          /* a longer gap is counted "at least" */
    CATCHUP_LIMIT_MAX = 10000,
    UPCOMING_COUNT_MAX = 1000,
    SCHEDULE_EVERY_MS_MIN = 1000,
    SCHEDULE_EVERY_DAYS_MAX = 3653,  /* ten years: @every's longest interval */
    ZONE_FILE_MAX = 1 << 20,         /* bytes of one TZif file; the largest real one has under 4 KiB */
    ZONE_TRANSITIONS_MAX = 2048,     /* in one file; the most that a real one has is 310 */

    /* Runs. */
    ATTEMPTS_MAX = 100,
    TAKEOVERS_MAX = 3,
    ATTEMPTS_KEPT = 10,              /* history rows in one run; older ones are dropped from the middle */
    RUN_ERROR_MAX = 512,             /* bytes of an error sentence kept */
    REPLICATED_OUTPUT_MAX = 64 * 1024,
    CAPTURED_OUTPUT_MAX = 64 << 20,
    RUN_QUEUE_MAX = 65536,           /* commands waiting for one dispatcher */
    RUN_ATTEMPTS_MAX = 65536,        /* attempts that one node knows; a further one is given back */
    CAPTURED_TOTAL_MAX = 256 << 20,  /* output of all attempts in memory; beyond: counted, not kept */
    JOB_CACHE_MAX = 256,             /* parsed job documents that a node keeps */
    JOB_CACHE_BYTES_MAX = 4 << 20,   /* and the text they came from; parsed they take a few times that */

    /* HTTP: what one client can make the server keep. */
    HTTP_HEADER_BYTES_MAX = 16 * 1024,
    HTTP_HEADERS_MAX = 100,
    HTTP_TARGET_MAX = 8 * 1024,
    HTTP_CONTENT_LENGTH_DIGITS_MAX = 18,
    HTTP_CHUNK_SIZE_MAX = 1 << 28,
    HTTP_CHUNK_EXTENSION_MAX = 256,
    HTTP_TRAILER_MAX = 4096,
    HTTP_OUTPUT_QUEUE_MAX = 256 * 1024,
    HTTP_PIPELINE_MAX = 16 * 1024,
    HTTP_BODY_RATE_MIN = 16 * 1024,  /* bytes per second; each second's worth that arrives extends the body deadline */
    HTTP_DRAIN_MS = 1000,            /* input thrown away behind a last answer, or the RST would destroy it */
    HTTP_FILES_MAX = 16,             /* answers with a file that leave at once: each has a descriptor and two pieces of memory */
    HTTP_REFUSED_MAX = 64,           /* connections being told 503 at once; beyond: closed without a word */
    PAGE_DEFAULT = 100,
    PAGE_MAX = 1000,
    SCAN_ROWS_MAX = 10000,           /* rows one unindexed filter may read for one page */
    TOKENS_MAX = 1000,               /* in auth.tokens_file: all are compared with, at each request */
    TOKENS_FILE_MAX = 256 * 1024,    /* bytes of it: TOKENS_MAX of the longest lines, and comments */
    TOKEN_NAME_MAX = 63,             /* as a node's */
    TOKEN_MIN = 32,                  /* bytes of a token: a shorter one might be a word that can be guessed */
    TOKEN_MAX = 512,
    IDEMPOTENCY_KEY_MAX = 255,       /* bytes of an Idempotency-Key */
    IDEMPOTENCY_KEPT_HOURS = 24,     /* of log time, from the request that it came with */
    IDEMPOTENCY_ROWS_MAX = 1000000,  /* kept at once */
    IDEMPOTENCY_ROWS_OF_ONE_MAX = 10000, /* of one principal */
    IDEMPOTENCY_EXPIRE_MAX = 8,      /* rows past their time that a new one takes away: more than come, so that they get fewer */
    API_CHECKS_MAX = 1024,           /* jobs that wait for their executor's own check; beyond: OVERLOADED */

    /* Node links: what a peer, or a stranger, can make a node keep. */
    TRANSPORT_HELLO_MAX = 4096,      /* bytes of a frame from somebody who has not introduced himself */
    TRANSPORT_FRAME_MAX = 4 << 20,   /* bytes of any other */
    TRANSPORT_OUTBOX_MAX = 16 << 20, /* bytes that wait to leave on one link; beyond: dropped, which Raft survives */
    TRANSPORT_LINKS_MAX = 256,
    TRANSPORT_KNOCKING_MAX = 64,     /* accepted links in their handshake, or of nodes that are no peers; beyond: the oldest goes */
    TRANSPORT_PEERS_MAX = 64,

    /* Plugins (chronos/plugin.h). */
    PLUGIN_COMPONENTS_MAX = 64,      /* of one plugin */
    PLUGIN_OPTIONS_MAX = 256,        /* of one component */
    PLUGIN_OPTION_NAME_MAX = 127,    /* bytes, dots included */
    PLUGIN_TEXT_MAX = 4096,          /* any string of a descriptor */
    PLUGIN_PROBLEMS_MAX = 50,        /* reported for one config; more help nobody */
    PLUGIN_ELEMENTS_MAX = 1024,      /* of a list or map in a config, unless its option says less */
    PLUGIN_MAP_KEY_MAX = 256,        /* bytes */
    PLUGIN_STRUCT_SIZE_MAX = 65536,  /* of any table that a plugin hands over: more is garbage */
    PLUGIN_SECRET_MAX = 64 * 1024,   /* bytes of one secret */
    PLUGIN_REFERENCE_MAX = 1024,     /* bytes of the name or path in a secret reference */
    PLUGIN_PARAMS_BYTES_MAX = 4 << 20, /* one job's parameters with their secrets */
    PLUGIN_LOG_PER_SECOND = 100,     /* lines of one instance; a plugin in a loop must not fill the disk */
    PLUGIN_LOG_BURST = 200,
    PLUGIN_LOG_LINE_MAX = 1024,      /* bytes kept */
    STORE_KEY_MIN = 511,             /* what every backend must offer at least (LMDB's default) */
    STORE_VALUE_MIN = 1 << 20,       /* a log entry must fit */
    STORE_TABLES_MIN = 32,
};

#endif
