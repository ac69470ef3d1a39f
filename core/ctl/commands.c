/* Every command with its flags and its help. */
#include "ctl/invocation.h"

#define END {.name = NULL}
#define WIDE {"wide", 0, FLAG_SWITCH, NULL, "more columns, exact times"}
#define FILES {"file", 'f', FLAG_LIST, "FILE", "YAML or JSON, - for standard input; repeatable"}

static const struct flag global_flags[] = {
    {"server", 's', FLAG_TEXT, "URL[,URL...]",
     "the servers, tried in order (default $CHRONOSCTL_SERVER, then http://127.0.0.1:8080)"},
    {"token-file", 0, FLAG_TEXT, "FILE", "holds the token to send (default: the variable CHRONOS_TOKEN)"},
    {"output", 'o', FLAG_TEXT, "FORMAT", "table (default), json, yaml or name"},
    {"timeout", 0, FLAG_DURATION, "DURATION", "for one request, with its retries (default 30s)"},
    {"request-timeout", 0, FLAG_DURATION, "DURATION", "the same, where a command has a --timeout of its own"},
    {"no-color", 0, FLAG_SWITCH, NULL, "no colours (as the variable NO_COLOR)"},
    {"help", 'h', FLAG_SWITCH, NULL, "help, with examples"},
    END,
};

/* --- flags --- */

#define JOB_FLAGS                                                                                                      \
    {"schedule", 0, FLAG_LIST, "EXPR", "\"0 9 * * 1-5\", \"@every 5m\", \"@daily\", ...; repeatable: a list"},         \
    {"timezone", 0, FLAG_TEXT, "ZONE", "IANA name (default UTC)"},                                                     \
    {"command", 0, FLAG_TEXT, "CMD", "run this by the shell"},                                                         \
    {"env", 0, FLAG_LIST, "KEY=VALUE", "environment of the command; repeatable"},                                      \
    {"webhook", 0, FLAG_TEXT, "URL", "call this URL"},                                                                 \
    {"method", 0, FLAG_TEXT, "METHOD", "of the webhook"},                                                              \
    {"header", 0, FLAG_LIST, "'NAME: VALUE'", "of the webhook; repeatable"},                                           \
    {"body", 0, FLAG_TEXT, "TEXT", "of the webhook"},                                                                  \
    {"executor", 0, FLAG_TEXT, "NAME", "any other executor, configured by --config"},                                  \
    {"config", 0, FLAG_TEXT, "JSON", "options of the executor, as an object"},                                         \
    {"timeout", 0, FLAG_DURATION, "DURATION", "of a run; the request's own is --request-timeout"},                     \
    {"concurrency", 0, FLAG_TEXT, "POLICY", "forbid (default), allow or replace"},                             \
    {"max-concurrent", 0, FLAG_NUMBER, "N", "runs at once, with --concurrency allow"},                                 \
    {"missed-run-policy", 0, FLAG_TEXT, "POLICY", "execute_one, execute_all or ignore"},                               \
    {"retries", 0, FLAG_NUMBER, "N", "attempts in all, the first one included (max_attempts)"},                        \
    {"retry-interval", 0, FLAG_DURATION, "DURATION", "before the second attempt; it grows from there"},                \
    {"tag", 0, FLAG_LIST, "KEY=VALUE", "repeatable"},                                                                  \
    {"placement", 0, FLAG_TEXT, "WHERE", "any (default), leader, or all: the node that runs it, or each"},                            \
    {"placement-tag", 0, FLAG_LIST, "KEY=VALUE", "only on nodes with this tag; repeatable: all of them"},              \
    {"description", 0, FLAG_TEXT, "TEXT", "for people"},                                                               \
    {"enabled", 0, FLAG_SWITCH, NULL, "comes due by its schedule (the default)"},                                      \
    {"disabled", 0, FLAG_SWITCH, NULL, "runs only when it is triggered"},                                              \
    FILES,                                                                                                             \
    {"dry-run", 0, FLAG_SWITCH, NULL, "check only, change nothing"}

static const struct flag create_flags[] = {{"name", 'n', FLAG_TEXT, "NAME", "letters, digits, \".\", \"_\" and \"-\""},
                                           JOB_FLAGS, END};
static const struct flag update_flags[] = {{"name", 'n', FLAG_TEXT, "NAME", "rename it"}, JOB_FLAGS, END};
static const struct flag apply_flags[] = {
    FILES,
    {"dry-run", 0, FLAG_SWITCH, NULL, "say what would be done, change nothing"},
    END,
};
#define JOB_FILTERS                                                                                                    \
    {"tag", 0, FLAG_LIST, "KEY=VALUE", "only jobs with this tag; repeatable: all of them"},                            \
    {"enabled", 0, FLAG_SWITCH, NULL, "only enabled ones"}, {"disabled", 0, FLAG_SWITCH, NULL, "only disabled ones"},  \
    {"name", 'n', FLAG_TEXT, "PREFIX", "only names that begin so"},                                                    \
    {"executor", 0, FLAG_TEXT, "NAME", "only of this executor"}

static const struct flag export_flags[] = {
    {"file", 'f', FLAG_TEXT, "FILE", "where to write it (default and -: standard output)"},
    JOB_FILTERS,
    END,
};
static const struct flag import_flags[] = {
    FILES,
    {"on-conflict", 0, FLAG_TEXT, "POLICY", "a job exists and is different: fail (default), skip or replace"},
    {"dry-run", 0, FLAG_SWITCH, NULL, "say what would be done, change nothing"},
    END,
};
static const struct flag job_list_flags[] = {
    JOB_FILTERS,
    {"limit", 0, FLAG_NUMBER, "N", "at most so many (default: all)"},
    WIDE,
    END,
};
static const struct flag delete_flags[] = {{"cancel", 0, FLAG_SWITCH, NULL, "also cancel what runs"}, END};
static const struct flag trigger_flags[] = {
    {"config", 0, FLAG_TEXT, "JSON", "laid over the job's config, for this run only"},
    {"force", 0, FLAG_SWITCH, NULL, "even if the job's concurrency forbids it"},
    {"wait", 0, FLAG_SWITCH, NULL, "until the run has ended; exit code 4 unless it succeeded"},
    END,
};
static const struct flag upcoming_flags[] = {
    {"count", 0, FLAG_NUMBER, "N", "how many (default 10)"},
    {"from", 0, FLAG_TEXT, "TIME", "after this time (default now): 2027-01-01T00:00:00Z"},
    END,
};
static const struct flag validate_flags[] = {
    {"timezone", 0, FLAG_TEXT, "ZONE", "IANA name (default UTC)"},
    {"count", 0, FLAG_NUMBER, "N", "how many next instants to show (default 5)"},
    END,
};
static const struct flag execution_list_flags[] = {
    {"job", 'j', FLAG_TEXT, "JOB", "only of this job"},
    {"status", 0, FLAG_TEXT, "STATUS", "pending, running, success, failed, timeout, cancelled, lost or skipped"},
    {"since", 0, FLAG_TEXT, "TIME", "scheduled at or after: 2027-01-01T00:00:00Z, or 2h for two hours ago"},
    {"until", 0, FLAG_TEXT, "TIME", "scheduled before"},
    {"limit", 0, FLAG_NUMBER, "N", "at most so many, the newest first (default 50)"},
    WIDE,
    END,
};
static const struct flag output_flags[] = {
    {"follow", 'f', FLAG_SWITCH, NULL, "go on until the run has ended"},
    {"attempt", 0, FLAG_NUMBER, "N", "of this attempt (default: the newest)"},
    END,
};

static const struct flag token_flags[] = {
    {"save", 0, FLAG_TEXT, "FILE", "write the token there, for you alone, and print only its line"},
    END,
};

static const struct flag remove_flags[] = {
    {"no-wait", 0, FLAG_SWITCH, NULL, "do not wait for the runs of a node to end"},
    END,
};

static const struct flag snapshot_flags[] = {
    {"file", 'f', FLAG_TEXT, "FILE", "fetch it, into this file here"},
    END,
};

/* --- commands --- */

static const struct group groups[] = {
    {"job", {"jobs"}, "Jobs: what runs, and when. JOB is a name, an id, or the beginning of an id."},
    {"execution", {"executions", "exec"}, "Executions: runs of jobs. EXECUTION is an id or the beginning of one."},
    {"cluster", {NULL}, "The cluster: its nodes and who leads. NODE is a node_id."},
    {"token", {"tokens"}, "Tokens for the HTTP API, made here; no server is asked. NAME says who holds one."},
};

static const struct command commands[] = {
    {"job", "list", "", 0, 0, job_list_flags, run_job_list, "List jobs",
     "Examples:\n"
     "  chronosctl job list\n"
     "  chronosctl job list --tag team=backend --disabled\n"
     "  chronosctl job list -o yaml > jobs.yaml\n"},
    {"job", "get", "JOB", 1, 1, NULL, run_job_get, "Show a job and when it runs next",
     "Examples:\n"
     "  chronosctl job get nightly\n"
     "  chronosctl job get nightly -o yaml > nightly.yaml\n"},
    {"job", "create", "[-f FILE]...", 0, 0, create_flags, run_job_create, "Create a job, or those of a file",
     "Examples:\n"
     "  chronosctl job create --name nightly --schedule '0 2 * * *' --timezone Europe/Berlin --command 'make report'\n"
     "  chronosctl job create --name ping --schedule '@every 30s' --webhook https://example.com/ping --method POST\n"
     "  chronosctl job create -f jobs.yaml --dry-run\n"
     "\n"
     "A file holds one job, a list of jobs, or \"jobs:\" with a list; YAML files may have several documents:\n"
     "  name: nightly\n"
     "  schedule: \"0 2 * * *\"\n"
     "  command: make report\n"},
    {"job", "update", "JOB", 1, 1, update_flags, run_job_update, "Change a job: what is given, and nothing else",
     "A list or a map that is given (--tag, --env, --header) is laid over the old one.\n"
     "\n"
     "Examples:\n"
     "  chronosctl job update nightly --schedule '30 2 * * *'\n"
     "  chronosctl job update nightly --timeout 10m --retries 3 --dry-run\n"},
    {"job", "apply", "-f FILE...", 0, 0, apply_flags, run_job_apply, "Create or replace jobs by name, as files say",
     "Says of each job whether it was created, updated or unchanged. What a file leaves out gets its default.\n"
     "Jobs that stand in no file are left alone.\n"
     "\n"
     "Examples:\n"
     "  chronosctl job apply -f jobs.yaml\n"
     "  chronosctl job get nightly -o yaml | sed s/02:00/03:00/ | chronosctl job apply -f -\n"},
    {"job", "export", "[-f FILE]", 0, 0, export_flags, run_job_export, "Write jobs to a file, as job import takes them",
     "YAML, or JSON with -o json. Secrets that the server masks are named on standard error: they have to be written into\n"
     "the file by hand. The jobs are read consistently; without a leader, job list -o yaml shows what a node has.\n"
     "\n"
     "Examples:\n"
     "  chronosctl job export -f jobs-backup.yaml\n"
     "  chronosctl job export --tag team=backend -o json > backend.json\n"},
    {"job", "import", "-f FILE...", 0, 0, import_flags, run_job_import, "Create the jobs of a backup",
     "Every job is checked before the first one is created; if one is refused, nothing is done. A job that exists just\n"
     "as the file has it is unchanged: an import that was interrupted can be repeated. One that exists and is different\n"
     "stops it, unless --on-conflict says skip (leave it) or replace (take the file's).\n"
     "\n"
     "Examples:\n"
     "  chronosctl job import -f jobs-backup.yaml\n"
     "  chronosctl job import -f jobs.ndjson --on-conflict replace --dry-run\n"},
    {"job", "delete", "JOB...", 1, ARGUMENTS_MAX, delete_flags, run_job_delete, "Delete jobs",
     "No question is asked. What runs goes on, unless --cancel is given.\n"
     "\n"
     "Example:\n"
     "  chronosctl job delete nightly ping\n"},
    {"job", "trigger", "JOB", 1, 1, trigger_flags, run_job_trigger, "Run a job now",
     "Examples:\n"
     "  chronosctl job trigger nightly\n"
     "  chronosctl job trigger nightly --wait && echo done\n"
     "  chronosctl job trigger nightly --config '{\"command\": \"make report FORCE=1\"}'\n"},
    {"job", "enable", "JOB...", 1, ARGUMENTS_MAX, NULL, run_job_enable, "Let jobs come due again",
     "The time that a job was disabled counts as not missed.\n"},
    {"job", "disable", "JOB...", 1, ARGUMENTS_MAX, NULL, run_job_disable, "Keep jobs from coming due",
     "What runs goes on, and the job can be triggered.\n"},
    {"job", "upcoming", "JOB", 1, 1, upcoming_flags, run_job_upcoming, "Show when a job runs next",
     "Example:\n"
     "  chronosctl job upcoming nightly --count 30\n"},
    {"job", "validate-schedule", "EXPR...", 1, 16, validate_flags, run_validate_schedule,
     "Check a schedule and say what it means",
     "Examples:\n"
     "  chronosctl job validate-schedule '0 9 * * 1-5' --timezone America/New_York\n"
     "  chronosctl job validate-schedule '@every 90m'\n"},
    {"execution", "list", "", 0, 0, execution_list_flags, run_execution_list, "List executions, the newest first",
     "Examples:\n"
     "  chronosctl execution list --job nightly\n"
     "  chronosctl execution list --status failed --since 24h\n"},
    {"execution", "get", "EXECUTION", 1, 1, NULL, run_execution_get, "Show an execution and its attempts",
     "Example:\n"
     "  chronosctl execution get exec_01k5\n"},
    {"execution", "output", "EXECUTION", 1, 1, output_flags, run_execution_output, "Print what an execution wrote",
     "Every byte as it was written; on a terminal, control characters are shown as escapes.\n"
     "\n"
     "Examples:\n"
     "  chronosctl execution output exec_01k5 > report.txt\n"
     "  chronosctl execution output -f exec_01k5\n"},
    {"execution", "cancel", "EXECUTION...", 1, ARGUMENTS_MAX, NULL, run_execution_cancel, "Cancel executions",
     "The run is asked to end, and killed after its grace time.\n"},
    {"cluster", "status", "", 0, 0, NULL, run_cluster_status, "Show the nodes and who leads, as the asked node sees it",
     "LOG is how much of the log a node has; the leader alone knows that of the others.\n"
     "\n"
     "Example:\n"
     "  chronosctl --server 10.0.0.2:8080 cluster status\n"},
    {"cluster", "nodes", "", 0, 0, NULL, run_cluster_nodes, "List the nodes, with their executors and tags",
     "CAPACITY is how many runs a node takes at once; 0: it stops, or has not come up yet.\n"
     "\n"
     "Example:\n"
     "  chronosctl cluster nodes -o name\n"},
    {"cluster", "join", "NODE ADDRESS", 2, 2, NULL, run_cluster_join, "Admit a node that runs and belongs to no cluster yet",
     "ADDRESS is its cluster.raft.address. A node that has cluster.raft.peers asks by itself.\n"
     "\n"
     "Example:\n"
     "  chronosctl cluster join chronos-4 10.0.0.4:7000\n"},
    {"cluster", "remove", "NODE...", 1, ARGUMENTS_MAX, remove_flags, run_cluster_remove,
     "Take nodes out of the cluster, one after the other",
     "No question is asked. A node that has runs gets no new ones, and leaves when they have ended, or after\n"
     "executors.lease_timeout. \"cluster join\" takes that back meanwhile, and has a removed node that runs come back later.\n"
     "\n"
     "Example:\n"
     "  chronosctl cluster remove chronos-4\n"},
    {"cluster", "transfer", "[NODE]", 0, 1, NULL, run_cluster_transfer, "Let another node lead",
     "Without NODE: the one that has most of the log.\n"
     "\n"
     "Example:\n"
     "  chronosctl cluster transfer chronos-2\n"},
    {"cluster", "snapshot", "[-f FILE]", 0, 0, snapshot_flags, run_cluster_snapshot, "Write a snapshot of the node that is asked",
     "It holds all jobs, runs and history, and lies in the node's data directory. With -f it is fetched, too: the file\n"
     "here is there whole or not at all.\n"
     "\n"
     "Examples:\n"
     "  chronosctl --server 10.0.0.1:8080 cluster snapshot\n"
     "  chronosctl cluster snapshot -f /backup/chronos.snapshot\n"},
    {"token", "generate", "NAME", 1, 1, token_flags, run_token_generate, "Make a token, and its line for auth.tokens_file",
     "The token is shown once and kept nowhere; the line holds its SHA-256 only.\n"
     "\n"
     "Examples:\n"
     "  chronosctl token generate alice\n"
     "  chronosctl token generate ci --save ci.token >> /etc/chronos/tokens\n"},
    {"token", "hash", "NAME", 1, 1, NULL, run_token_hash, "Make the line of a token that you have, from standard input",
     "Example:\n"
     "  chronosctl token hash ci < ci.token >> /etc/chronos/tokens\n"},
    {NULL, "version", "", 0, 0, NULL, run_version, "Print the versions of chronosctl and of the server", NULL},
    {NULL, "help", "[COMMAND]", 0, 2, NULL, run_help, "Print help",
     "Example:\n"
     "  chronosctl help job create\n"},
    {NULL, "completion", "SHELL", 1, 1, NULL, run_completion, "Print a script that completes words: for bash, zsh or fish",
     "The packages install them.\n"
     "\n"
     "Example:\n"
     "  source <(chronosctl completion bash)\n"},
};

const struct command_set chronosctl_commands = {
    .program = "chronosctl",
    .groups = groups,
    .group_count = sizeof groups / sizeof *groups,
    .commands = commands,
    .command_count = sizeof commands / sizeof *commands,
    .global_flags = global_flags,
    .epilogue = "\n"
                "Examples:\n"
                "  chronosctl job create --name hello --schedule '* * * * *' --command 'echo hello'\n"
                "  chronosctl job list\n"
                "  chronosctl execution list --job hello\n"
                "  chronosctl --server 10.0.0.1:8080,10.0.0.2:8080 job trigger hello --wait\n"
                "\n"
                "Exit codes: 0 done, 1 refused by the server or failed, 2 wrong usage, 3 no server reached,\n"
                "4 the run did not succeed (job trigger --wait), 5 not found.\n"
                "\n"
                "chronosctl COMMAND --help says more about each command.\n",
};
