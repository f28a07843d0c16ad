/* bounded-output [-c CGROUP] [-m METRICS] [-r ROOM [-u UID:GID[:GROUP...]]] BYTES CONSOLE LOG PROGRAM [ARGS...]
 *
 * Becomes PROGRAM, whose output goes through a pipe to a writer that keeps the files small: what comes on
 * descriptor 3 into CONSOLE, which begins anew, standard output and error into LOG, which goes on, and what comes on
 * descriptor 4 into METRICS, which begins anew. A file that has reached BYTES becomes FILE.1, in the place of the one
 * before, so that each takes twice that at most. Both processes are in CGROUP, a folder of cgroup v2, from before
 * PROGRAM's first instruction.
 *
 * With a ROOM, PROGRAM works in that folder, and what would be descriptors 3 and 4 are FIFOs in it, `console` and
 * `metrics`, of whoever owns it: a jail keeps no descriptors and has no /proc by which to open them anew. They
 * have no end of their own, since PROGRAM may open them late, or not at all: the writer ends with LOG's pipe, which
 * PROGRAM has from its beginning. With -u it is that user, of those groups alone, for good.
 *
 * A guest writes to its console what it likes, as fast as it can, and whether or not a daemon is there to look. So the
 * bound is kept by a process that lives exactly as long as PROGRAM: it ends with the last writer of its pipes. Should
 * it be killed, PROGRAM goes on and its output is lost. Its arguments stay those above, PROGRAM's among them: who
 * looks for PROGRAM by one of them finds the writer, too. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONSOLE_FD = 3, METRICS_FD = 4, FILES_MAX = 3, LOG = 1, GROUPS_MAX = 8, CHUNK = 65536 };

struct file {
	const char *path;
	char *old;
	int from, to;
	off_t size;
};

static void die(const char *what)
{
	fprintf(stderr, "bounded-output: %s: %s\n", what, strerror(errno));
	exit(125);
}

static int open_new(const char *path, int flags)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0600);
}

/* Where it cannot be moved away it is emptied: the bound holds whatever becomes of the text. */
static void turn_over(struct file *file)
{
	if (rename(file->path, file->old) != 0) {
		if (ftruncate(file->to, 0) == 0)
			file->size = 0;
		return;
	}
	int to = open_new(file->path, 0);
	if (to >= 0) {
		close(file->to);
		file->to = to;
		file->size = 0;
	}
}

/* A full disk loses text, not the writer. */
static void keep(struct file *file, const char *data, size_t n, off_t limit)
{
	while (n > 0) {
		if (file->size >= limit)
			turn_over(file);
		off_t room = limit - file->size;
		if (room <= 0)
			return;
		ssize_t done = write(file->to, data, (off_t)n < room ? n : (size_t)room);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		file->size += done;
		data += done;
		n -= (size_t)done;
	}
}

/* @param endless whether all but LOG have no end, and are read as far as they go when that has come to its own */
static void copy(struct file *files, int count, off_t limit, int endless)
{
	static char data[CHUNK];
	for (int open = endless ? 1 : count; open > 0;) {
		struct pollfd polls[FILES_MAX];
		for (int i = 0; i < count; i++)
			polls[i] = (struct pollfd){files[i].from, POLLIN, 0};
		if (poll(polls, (nfds_t)count, -1) < 0)
			continue;
		for (int i = 0; i < count; i++) {
			if (!polls[i].revents)
				continue;
			ssize_t n = read(files[i].from, data, sizeof data);
			if (n > 0) {
				keep(&files[i], data, (size_t)n, limit);
			} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
				close(files[i].from);
				files[i].from = -1;
				open--;
			}
		}
	}
	for (int i = 0; i < count; i++)
		for (ssize_t n; files[i].from >= 0 && (n = read(files[i].from, data, sizeof data)) > 0;)
			keep(&files[i], data, (size_t)n, limit);
}

/* @returns the pipe's end for PROGRAM, clear of the descriptors that it will have */
static int make_pipe(struct file *file)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		die(file->path);
	file->from = ends[0];
	int clear = fcntl(ends[1], F_DUPFD_CLOEXEC, 10);
	if (clear < 0)
		die(file->path);
	close(ends[1]);
	return clear;
}

/* Open for writing, too: so there is always a writer, and nobody waits for another. */
static int make_fifo(struct file *file, const char *room, const char *name, const struct stat *owner)
{
	char *path;
	if (asprintf(&path, "%s/%s", room, name) < 0 || mkfifo(path, 0600) != 0)
		die(name);
	file->from = open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (file->from < 0 || fchown(file->from, owner->st_uid, owner->st_gid) != 0)
		die(path);
	free(path);
	return -1;
}

static void prepare(struct file *file, const char *path, int flags)
{
	struct stat info;
	file->path = path;
	if (asprintf(&file->old, "%s.1", path) < 0)
		die(path);
	if (flags & O_TRUNC && unlink(file->old) != 0 && errno != ENOENT)
		die(file->old);
	file->to = open_new(path, flags);
	if (file->to < 0 || fstat(file->to, &info) != 0)
		die(path);
	file->size = info.st_size;
}

/* A cgroup is a comfort: where it cannot be had, PROGRAM runs in the one that we were started in. */
static void join_cgroup(const char *folder)
{
	char *path;
	if (asprintf(&path, "%s/cgroup.procs", folder) < 0)
		die(folder);
	int procs = open(path, O_WRONLY | O_CLOEXEC);
	if (procs < 0 || write(procs, "0", 1) != 1)
		fprintf(stderr, "bounded-output: %s: %s\n", path, strerror(errno));
	if (procs >= 0)
		close(procs);
	free(path);
}

static void give(int end, int fd, const char *what)
{
	if (end >= 0 && dup2(end, fd) < 0)
		die(what);
}

/* @param user UID:GID[:GROUP...] */
static void become(const char *user)
{
	unsigned long ids[2 + GROUPS_MAX];
	gid_t groups[GROUPS_MAX];
	int count = 0;
	for (char *end = (char *)user; count < 2 + GROUPS_MAX; user = end + 1) {
		errno = 0;
		ids[count++] = strtoul(user, &end, 10);
		if (errno || end == user || (*end && *end != ':'))
			errno = EINVAL;
		else if (*end)
			continue;
		break;
	}
	/* Never by a slip: nobody asks to stay root by this. */
	if (!errno && (count < 2 || ids[0] == 0 || ids[1] == 0))
		errno = EINVAL;
	if (errno)
		die("-u");
	for (int i = 2; i < count; i++)
		groups[i - 2] = (gid_t)ids[i];
	if (setgroups((size_t)count - 2, groups) != 0 || setresgid(ids[1], ids[1], ids[1]) != 0 ||
	    setresuid(ids[0], ids[0], ids[0]) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die("-u");
}

int main(int argc, char **argv)
{
	struct file files[FILES_MAX];
	int ends[FILES_MAX], count = 2;
	const char *cgroup = NULL, *metrics = NULL, *room = NULL, *user = NULL;
	/* `+`: what follows PROGRAM is its own. */
	for (int option; (option = getopt(argc, argv, "+c:m:r:u:")) != -1;) {
		if (option == 'c')
			cgroup = optarg;
		else if (option == 'm')
			metrics = optarg;
		else if (option == 'r')
			room = optarg;
		else if (option == 'u')
			user = optarg;
		else
			return 2;
	}
	char **rest = argv + optind;
	long long limit = argc - optind > 3 ? atoll(rest[0]) : 0;
	if (limit <= 0 || (user && !room)) {
		fprintf(stderr, "usage: bounded-output [-c CGROUP] [-m METRICS] [-r ROOM [-u UID:GID[:GROUP...]]] "
				"BYTES CONSOLE LOG PROGRAM [ARGS...]\n");
		return 2;
	}
	struct stat owner;
	if (room && stat(room, &owner) != 0)
		die(room);
	prepare(&files[0], rest[1], O_TRUNC);
	prepare(&files[LOG], rest[2], 0);
	if (metrics)
		prepare(&files[count++], metrics, O_TRUNC);
	for (int i = 0; i < count; i++)
		ends[i] = room && i != LOG ? make_fifo(&files[i], room, i == 0 ? "console" : "metrics", &owner)
					   : make_pipe(&files[i]);
	/* PROGRAM may open what it speaks to anew. */
	if (room && fchown(ends[LOG], owner.st_uid, owner.st_gid) != 0)
		die(rest[2]);
	if (cgroup)
		join_cgroup(cgroup);
	pid_t writer = fork();
	if (writer < 0)
		die("fork");
	if (writer == 0) {
		for (int i = 0; i < count; i++)
			if (ends[i] >= 0)
				close(ends[i]);
		/* What this process was given as its own output is the log, too, under a name that may change. */
		int null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		signal(SIGPIPE, SIG_IGN);
		copy(files, count, (off_t)limit, room != NULL);
		return 0;
	}
	give(ends[0], CONSOLE_FD, rest[1]);
	give(ends[LOG], STDOUT_FILENO, rest[2]);
	give(ends[LOG], STDERR_FILENO, rest[2]);
	if (metrics)
		give(ends[2], METRICS_FD, metrics);
	if (room && chdir(room) != 0)
		die(room);
	if (user)
		become(user);
	execv(rest[3], rest + 3);
	die(rest[3]);
}
