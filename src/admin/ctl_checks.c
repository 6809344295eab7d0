/*
 * What doctor sees of the machine.
 */
#include "admin/ctl_doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "admin/ctl_client.h"
#include "conf/conf.h"
#include "http/target.h"
#include "larder/check.h"
#include "larder/clock.h"

/* 2025-01-01: no larder is older. */
#define EARLIEST   INT64_C(1735689600)
#define FREE_LEAST (INT64_C(64) << 20)
#define CIFS_MAGIC 0xff534d42
/* As README has it: client, origin, file. */
#define FILES_EACH 3u

/* ---- addresses -------------------------------------------------------- */

/* Somebody listens there: who, only a request can tell. */
static void
check_connects(struct doctor *d, const char *text, const union addr *address)
{
	union addr a = ctl_client_address(address);
	struct timeval patience = {.tv_sec = 5};
	int fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		doctor_say(d, "address", DOCTOR_FAIL,
		    "take it out of listen, or let the kernel have it",
		    "%s: %s", text, strerrordesc_np(errno));
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, &a.sa, addr_len(&a)) == 0)
		doctor_say(d, "address", DOCTOR_OK, NULL,
		    "%s takes connections", text);
	else
		doctor_say(d, "address", DOCTOR_FAIL,
		    "larderctl reload, if listen has changed since larderd "
		    "was started; or a packet filter keeps it",
		    "%s: larderd runs, but no connection gets there: %s", text,
		    strerrordesc_np(errno));
	close(fd);
}

/* Could larderd have it? */
static void
check_binds(struct doctor *d, const char *text, const union addr *address)
{
	union addr a = *address;
	int fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	const char *fix = "write another address into listen";

	if (a.sa.sa_family == AF_UNIX) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (a.sa.sa_family == AF_INET6)
		a.v6.sin6_flowinfo = 0;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (fd >= 0 && bind(fd, &a.sa, addr_len(&a)) == 0 &&
	    listen(fd, 1) == 0) {
		doctor_say(d, "address", DOCTOR_OK, NULL,
		    "%s is free for larderd", text);
		close(fd);
		return;
	}
	if (errno == EADDRINUSE)
		fix = "`ss -ltnp` shows which program has that port; stop it, "
		      "or write another port into listen";
	else if (errno == EADDRNOTAVAIL)
		fix = "`ip address` shows which addresses this machine has";
	doctor_say(d, "address", errno == EACCES ? DOCTOR_WARN : DOCTOR_FAIL,
	    errno == EACCES ? "ports below 1024 need root, or "
			      "AmbientCapabilities=CAP_NET_BIND_SERVICE"
			    : fix,
	    "%s: %s", text, strerrordesc_np(errno));
	if (fd >= 0)
		close(fd);
}

void
doctor_check_listen(struct doctor *d)
{
	const struct conf *conf = d->ctl->conf;

	for (unsigned i = 0; i < conf->listen_count; i++) {
		if (d->running)
			check_connects(
			    d, conf->listen[i], &conf->listen_addr[i]);
		else if (d->pid == 0)
			check_binds(d, conf->listen[i], &conf->listen_addr[i]);
	}
}

/* ---- names ------------------------------------------------------------ */

static unsigned
count_name_servers(void)
{
	FILE *in = fopen("/etc/resolv.conf", "re");
	char line[512];
	unsigned count = 0;

	while (in && fgets(line, sizeof(line), in))
		count += strncmp(line, "nameserver", 10) == 0;
	if (in)
		fclose(in);
	return count;
}

void
doctor_check_names(struct doctor *d)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	const char *fix =
	    "put a name server into /etc/resolv.conf; `resolvectl "
	    "status` where systemd-resolved runs";
	enum verdict bad = d->url_given ? DOCTOR_FAIL : DOCTOR_WARN;
	struct http_target target;
	struct addrinfo *found = NULL;
	struct arena arena;
	char host[256];
	const char *why;
	union addr a;
	int rc;

	arena_init(&arena, 256 * 1024);
	rc = http_target_of_url(bytes_str(d->url), &arena, &target, &why);
	snprintf(host, sizeof(host), "%.*s", rc == 0 ? (int)target.host.n : 0,
	    rc == 0 ? target.host.p : "");
	arena_release(&arena);
	if (rc < 0)
		return;
	if (addr_parse_ip(bytes_str(host), 0, &a) == 0) {
		doctor_say(d, "names", DOCTOR_SKIPPED, NULL,
		    "%s is an address, and no name", host);
		return;
	}
	rc = getaddrinfo(host, "80", &hints, &found);
	if (rc == 0) {
		doctor_say(
		    d, "names", DOCTOR_OK, NULL, "%s has an address", host);
		freeaddrinfo(found);
	} else if (count_name_servers() == 0) {
		doctor_say(d, "names", bad, fix,
		    "%s: %s; /etc/resolv.conf names no server", host,
		    gai_strerror(rc));
	} else {
		doctor_say(
		    d, "names", bad, fix, "%s: %s", host, gai_strerror(rc));
	}
}

/* ---- clock ------------------------------------------------------------ */

void
doctor_check_clock(struct doctor *d)
{
	int64_t now = clock_wall_ms() / 1000;
	struct timex t = {.modes = 0};
	char when[CTL_WHEN];

	if (now < EARLIEST)
		doctor_say(d, "clock", DOCTOR_FAIL,
		    "timedatectl set-ntp true, or date -s; what is stored by "
		    "a wrong clock is fresh, or stale, for too long",
		    "it is not %s", ctl_when(now, when));
	else if (adjtimex(&t) < 0 || t.status & STA_UNSYNC)
		doctor_say(d, "clock", DOCTOR_WARN,
		    "timedatectl set-ntp true, unless this machine gets its "
		    "time from its host",
		    "%s; the kernel does not know of a time service",
		    ctl_when(now, when));
	else
		doctor_say(d, "clock", DOCTOR_OK, NULL, "%s, and kept in time",
		    ctl_when(now, when));
}

/* ---- disk ------------------------------------------------------------- */

static void
check_kind(struct doctor *d, const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs) != 0)
		return;
	switch ((unsigned long)fs.f_type) {
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case CIFS_MAGIC:
		doctor_say(d, "disk", DOCTOR_FAIL,
		    "put cache.path on a disk of this machine",
		    "%s is on a network's file system: the index needs locks "
		    "and memory maps that hold",
		    path);
		break;
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
		doctor_say(d, "disk", DOCTOR_WARN,
		    "put cache.path on a disk, unless that is meant",
		    "%s is in memory: the cache is gone after a reboot", path);
		break;
	default:
		break;
	}
}

static void
check_room(struct doctor *d, const char *path, const struct statvfs *fs)
{
	const json_t *store = json_object_get(d->stats, "store");
	int64_t free_bytes = (int64_t)(fs->f_bavail * fs->f_frsize);
	int64_t budget = (int64_t)d->ctl->conf->cache_size;
	int64_t used = ctl_number(store, "disk_used");
	char room[CTL_TEXT], size[CTL_TEXT];

	ctl_size(free_bytes, room);
	ctl_size(budget, size);
	if (fs->f_flag & ST_RDONLY)
		doctor_say(d, "disk", DOCTOR_FAIL,
		    "mount -o remount,rw; dmesg says whether the disk failed",
		    "%s is on a file system that is read-only", path);
	else if (fs->f_files > 0 && fs->f_favail < 1000)
		doctor_say(d, "disk", DOCTOR_FAIL,
		    "remove files: df -i shows the file system",
		    "%s: no inodes are left", path);
	else if (free_bytes < FREE_LEAST && used < budget)
		doctor_say(d, "disk", DOCTOR_FAIL,
		    "free space, or lower cache.size: nothing new is stored",
		    "%s: the disk is full, %s are free", path, room);
	else if (d->stats && budget - used > free_bytes)
		doctor_say(d, "disk", DOCTOR_WARN,
		    "lower cache.size, or free space: others fill the disk",
		    "%s: %s are free, but the budget of %s could still grow by "
		    "more",
		    path, room, size);
	else
		doctor_say(d, "disk", DOCTOR_OK, NULL,
		    "%s: %s are free, the budget is %s", path, room, size);
}

void
doctor_check_disk(struct doctor *d)
{
	const char *path = d->ctl->conf->cache_path;
	struct statvfs fs;

	if (statvfs(path, &fs) != 0) {
		doctor_say(d, "disk",
		    errno == ENOENT && !d->running ? DOCTOR_WARN : DOCTOR_FAIL,
		    "larderd makes it when it starts, if it may: the folder "
		    "above must be there, and its user's",
		    "%s: %s", path, strerrordesc_np(errno));
		return;
	}
	check_kind(d, path);
	check_room(d, path, &fs);
}

/* ---- permissions ------------------------------------------------------ */

/* By the mode alone: what doctor itself may says nothing of the daemon. */
static bool
may_write(const struct doctor *d, const struct stat *st)
{
	if (d->uid == 0)
		return true;
	if (st->st_uid == d->uid)
		return (st->st_mode & 0300) == 0300;
	if (st->st_gid == d->gid)
		return (st->st_mode & 0030) == 0030;
	return (st->st_mode & 0003) == 0003;
}

static void
check_folder(struct doctor *d, const char *what, const char *path, bool exact)
{
	char folder[4096];
	struct stat st;

	snprintf(folder, sizeof(folder), "%s", path);
	if (!exact && strrchr(folder, '/'))
		strrchr(folder, '/')[folder[1] == '\0'] = '\0';
	if (folder[0] == '\0')
		strcpy(folder, "/");
	if (stat(folder, &st) != 0) {
		if (exact && errno == ENOENT)
			return; /* the disk's check has said so */
		doctor_say(d, "permissions", DOCTOR_FAIL,
		    "make it, with larderd's user as its owner", "%s: %s: %s",
		    what, folder, strerrordesc_np(errno));
	} else if (!may_write(d, &st)) {
		doctor_say(d, "permissions", DOCTOR_FAIL,
		    "chown it to larderd's user",
		    "%s: %s: user %u may not write there", what, folder,
		    (unsigned)d->uid);
	} else {
		doctor_say(d, "permissions", DOCTOR_OK, NULL,
		    "%s: %s is writable for user %u", what, folder,
		    (unsigned)d->uid);
	}
}

void
doctor_check_permissions(struct doctor *d)
{
	const struct conf *conf = d->ctl->conf;

	if (!d->uid_known) {
		doctor_say(d, "permissions", DOCTOR_SKIPPED, NULL,
		    "it is not known which user larderd runs as");
		return;
	}
	check_folder(d, "cache", conf->cache_path, true);
	if (*conf->access_log)
		check_folder(d, "access log", conf->access_log, false);
	/* The unit's RuntimeDirectory is there only while it runs. */
	if (d->running)
		check_folder(d, "admin socket", conf->admin_socket, false);
}

/* ---- limits ----------------------------------------------------------- */

/* Of the daemon's process, or 0. */
static uint64_t
files_of(pid_t pid)
{
	char path[64], line[256];
	uint64_t n = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/limits", (int)pid);
	in = fopen(path, "re");
	while (in && fgets(line, sizeof(line), in))
		if (strncmp(line, "Max open files", 14) == 0)
			n = strtoull(line + 14, NULL, 10);
	if (in)
		fclose(in);
	return n;
}

void
doctor_check_limits(struct doctor *d)
{
	uint64_t wanted = (uint64_t)d->ctl->conf->max_connections * FILES_EACH;
	uint64_t files = d->running ? files_of(d->pid) : 0;

	if (files == 0)
		doctor_say(d, "limits", DOCTOR_SKIPPED, NULL, "%s",
		    d->running ? "the daemon's limits cannot be read"
			       : "larderd does not run");
	else if (files < wanted)
		doctor_say(d, "limits", DOCTOR_WARN,
		    "LimitNOFILE= in the unit (systemctl edit larder), or a "
		    "lower limits.max_connections",
		    "%" PRIu64 " open files, fewer than the %" PRIu64
		    " that %u connections may need",
		    files, wanted, d->ctl->conf->max_connections);
	else
		doctor_say(d, "limits", DOCTOR_OK, NULL,
		    "%" PRIu64 " open files, for %u connections", files,
		    d->ctl->conf->max_connections);
}
