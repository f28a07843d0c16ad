/* bounded-output [-c CGROUP] [-m METRICS] BYTES CONSOLE LOG PROGRAM [ARGS...]
 *
 * Becomes PROGRAM, whose output goes through a pipe to a writer that keeps the files small: what comes on
 * descriptor 3 into CONSOLE, which begins anew, standard output and error into LOG, which goes on, and what comes on
 * descriptor 4 into METRICS, which begins anew. A file that has reached BYTES becomes FILE.1, in the place of the one
 * before, so that each takes twice that at most. Both processes are in CGROUP, a folder of cgroup v2, from before
 * PROGRAM's first instruction.
 *
 * A guest writes to its console what it likes, as fast as it can, and whether or not a daemon is there to look. So the
 * bound is kept by a process that lives exactly as long as PROGRAM: it ends with the last writer of its pipes. Should
 * it be killed, PROGRAM goes on and its output is lost. Its arguments stay those above, PROGRAM's among them: who
 * looks for PROGRAM by one of them finds the writer, too. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONSOLE_FD = 3, METRICS_FD = 4, FILES_MAX = 3, CHUNK = 65536 };

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

static void copy(struct file *files, int count, off_t limit)
{
	static char data[CHUNK];
	for (int open = count; open > 0;) {
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
			} else if (n == 0 || errno != EINTR) {
				close(files[i].from);
				files[i].from = -1;
				open--;
			}
		}
	}
}

/* @returns the pipe's end for PROGRAM, clear of the descriptors that it will have */
static int prepare(struct file *file, const char *path, int flags)
{
	struct stat info;
	int ends[2];
	file->path = path;
	if (asprintf(&file->old, "%s.1", path) < 0)
		die(path);
	if (flags & O_TRUNC && unlink(file->old) != 0 && errno != ENOENT)
		die(file->old);
	file->to = open_new(path, flags);
	if (file->to < 0 || fstat(file->to, &info) != 0 || pipe2(ends, O_CLOEXEC) != 0)
		die(path);
	file->size = info.st_size;
	file->from = ends[0];
	int clear = fcntl(ends[1], F_DUPFD_CLOEXEC, 10);
	if (clear < 0)
		die(path);
	close(ends[1]);
	return clear;
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
	if (dup2(end, fd) < 0)
		die(what);
}

int main(int argc, char **argv)
{
	struct file files[FILES_MAX];
	int ends[FILES_MAX], count = 2;
	const char *cgroup = NULL, *metrics = NULL;
	/* `+`: what follows PROGRAM is its own. */
	for (int option; (option = getopt(argc, argv, "+c:m:")) != -1;) {
		if (option == 'c')
			cgroup = optarg;
		else if (option == 'm')
			metrics = optarg;
		else
			return 2;
	}
	char **rest = argv + optind;
	long long limit = argc - optind > 3 ? atoll(rest[0]) : 0;
	if (limit <= 0) {
		fprintf(stderr, "usage: bounded-output [-c CGROUP] [-m METRICS] BYTES CONSOLE LOG PROGRAM [ARGS...]\n");
		return 2;
	}
	ends[0] = prepare(&files[0], rest[1], O_TRUNC);
	ends[1] = prepare(&files[1], rest[2], 0);
	if (metrics)
		ends[count++] = prepare(&files[2], metrics, O_TRUNC);
	if (cgroup)
		join_cgroup(cgroup);
	pid_t writer = fork();
	if (writer < 0)
		die("fork");
	if (writer == 0) {
		for (int i = 0; i < count; i++)
			close(ends[i]);
		/* What this process was given as its own output is the log, too, under a name that may change. */
		int null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		signal(SIGPIPE, SIG_IGN);
		copy(files, count, (off_t)limit);
		return 0;
	}
	give(ends[0], CONSOLE_FD, rest[1]);
	give(ends[1], STDOUT_FILENO, rest[2]);
	give(ends[1], STDERR_FILENO, rest[2]);
	if (metrics)
		give(ends[2], METRICS_FD, metrics);
	execv(rest[3], rest + 3);
	die(rest[3]);
}
