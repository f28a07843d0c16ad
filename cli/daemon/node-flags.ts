/**
 * What the daemon's Node is started with. A daemon that sits idle for days is to be small: V8's young generation
 * otherwise grows to 16 MiB a half with each burst of starts. With MALLOC_ARENA_MAX, after some forty starts
 * (scripts/bench): 106 MiB resident instead of 138. --optimize-for-size would save 6 more, and costs time in each
 * start. V8 takes compiled code of the same flags alone: without these dist/daemon.cache is of no use.
 */
export const daemonNodeFlags = ['--max-semi-space-size=2'] as const;
