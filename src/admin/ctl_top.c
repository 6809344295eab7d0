/*
 * `top`: asks, draws, waits; what is drawn fits the terminal as it is then.
 *
 * The alternate screen and the terminal's mode are put back on every way out
 * but SIGKILL.
 */
#include "admin/ctl_command.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/clock.h"

#define ONCE_ROWS 10u
/* What stands before a name. */
#define COLUMNS	  30u

static const struct {
	const char *name, *title;
} tables[] = {
    {"hosts", "HOST"},
    {"urls", "URL"},
    {"clients", "CLIENT"},
};

static volatile sig_atomic_t ended;

static void
on_signal(int number)
{
	ended = number != SIGWINCH;
}

/* ---- drawing ---------------------------------------------------------- */

struct frame {
	const struct ctl *ctl;
	unsigned columns;
	unsigned rows;	 /* of entries, a table */
	const char *end; /* between two lines */
	unsigned left;	 /* lines that still fit */
	bool begun;
	double seconds;
};

static double
percent(json_int_t part, json_int_t whole)
{
	return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static const char *
rate(const struct frame *f, json_int_t bytes, char out[CTL_TEXT])
{
	return ctl_size((json_int_t)((double)bytes / f->seconds), out);
}

/* False: the screen is full. */
static bool
begin_line(struct frame *f)
{
	if (f->left == 0)
		return false;
	if (f->begun)
		fputs(f->end, stdout);
	f->begun = true;
	f->left--;
	return true;
}

static void
draw_summary(struct frame *f, const json_t *answer)
{
	json_int_t requests = ctl_number(answer, "requests");
	char bytes[CTL_TEXT], text[256];

	if (!begin_line(f))
		return;
	snprintf(text, sizeof(text),
	    "%.1f requests/s, %.0f %% hits, %s/s; %d connections, %d fetches",
	    (double)requests / f->seconds,
	    percent(ctl_number(answer, "hits"), requests),
	    rate(f, ctl_number(answer, "bytes"), bytes),
	    (int)ctl_number(answer, "connections_open"),
	    (int)ctl_number(answer, "fetches_in_flight"));
	ctl_print_cut(text, f->columns);
}

static void
draw_entry(struct frame *f, const json_t *e)
{
	json_int_t requests = ctl_number(e, "requests");
	char bytes[CTL_TEXT], text[64];

	if (!begin_line(f))
		return;
	snprintf(text, sizeof(text), "%8.1f %5.0f %% %11s  ",
	    (double)requests / f->seconds,
	    percent(ctl_number(e, "hits"), requests),
	    rate(f, ctl_number(e, "bytes"), bytes));
	ctl_print_cut(text, f->columns);
	if (f->columns > COLUMNS)
		ctl_print_cut(ctl_string(e, "name"), f->columns - COLUMNS);
}

/* The next of a table by bytes, behind the one that was drawn last. */
static const json_t *
next_by_bytes(const json_t *list, const json_t *last)
{
	const json_t *best = NULL;
	bool seen = false;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *e = json_array_get(list, i);
		json_int_t n = ctl_number(e, "bytes");
		json_int_t limit = last ? ctl_number(last, "bytes") : 0;

		if (e == last) {
			seen = true;
			continue;
		}
		/* Of equals the one that stands behind it. */
		if (last && (n > limit || (n == limit && !seen)))
			continue;
		if (!best || n > ctl_number(best, "bytes"))
			best = e;
	}
	return best;
}

static void
draw_table(struct frame *f, const json_t *list, const char *title)
{
	const json_t *e = NULL;
	char text[64];

	/* An empty one, and the title. */
	if (!begin_line(f) || !begin_line(f))
		return;
	fputs(ctl_style(f->ctl, CTL_BOLD), stdout);
	snprintf(text, sizeof(text), "%8s %7s %11s  %s", "REQ/S", "HITS",
	    "BYTES/S", title);
	ctl_print_cut(text, f->columns);
	fputs(ctl_style(f->ctl, CTL_PLAIN), stdout);
	for (unsigned i = 0; i < f->rows && i < json_array_size(list); i++) {
		e = f->ctl->by_bytes ? next_by_bytes(list, e)
				     : json_array_get(list, i);
		if (e == NULL)
			break;
		draw_entry(f, e);
	}
}

static void
draw(struct frame *f, const json_t *answer)
{
	draw_summary(f, answer);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		draw_table(f, json_object_get(answer, tables[i].name),
		    tables[i].title);
}

static double
seconds_of(const json_t *answer)
{
	double s = json_real_value(json_object_get(answer, "seconds"));

	return s > 0.1 ? s : 0.1;
}

static void
draw_screen(const struct ctl *ctl, const json_t *answer)
{
	struct frame f = {
	    .ctl = ctl, .end = "\033[K\n", .seconds = seconds_of(answer)};

	ctl_screen_size(STDOUT_FILENO, &f.columns, &f.left);
	/* But the summary, and two lines a table. */
	f.rows = f.left > 10 ? (f.left - 7) / 3 : 1;
	fputs("\033[H", stdout);
	draw(&f, answer);
	fputs("\033[K\033[J", stdout);
	fflush(stdout);
}

/* ---- waiting ---------------------------------------------------------- */

struct terminal {
	struct termios before;
	bool changed;
	sigset_t mask;
};

/* Signals come in ppoll() alone, so that none is missed. */
static void
take_terminal(struct terminal *t)
{
	static const int numbers[] = {SIGWINCH, SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal};
	struct termios now;
	sigset_t blocked;

	sigemptyset(&blocked);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		sigaddset(&blocked, numbers[i]);
		sigaction(numbers[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &blocked, &t->mask);
	t->changed = tcgetattr(STDIN_FILENO, &t->before) == 0;
	if (t->changed) {
		now = t->before;
		now.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
		t->changed = tcsetattr(STDIN_FILENO, TCSANOW, &now) == 0;
	}
	fputs("\033[?1049h\033[?25l", stdout);
}

static void
give_terminal_back(struct terminal *t)
{
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (t->changed)
		tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
	sigprocmask(SIG_SETMASK, &t->mask, NULL);
}

/* Until the time, a key, or a signal. False: it is to end. */
static bool
wait_until(struct terminal *t, int64_t when)
{
	struct pollfd in = {
	    .fd = t->changed ? STDIN_FILENO : -1, .events = POLLIN};
	int64_t left = when - clock_mono_ms();
	struct timespec timeout = {0};
	char key;

	if (left > 0)
		timeout = (struct timespec){left / 1000, left % 1000 * 1000000};
	if (ppoll(&in, 1, &timeout, &t->mask) > 0 &&
	    (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q'))
		return false;
	return !ended;
}

static enum ctl_exit
run_live(struct ctl *ctl, const struct ctl_command *c, struct evkeyvalq *args,
    json_t *answer)
{
	enum ctl_exit rc = CTL_DONE;
	int64_t next = clock_mono_ms() + ctl->interval;
	struct terminal t;
	bool goes_on = true;

	/* The first look has begun the counting: the second has something. */
	if (next > clock_mono_ms() + 1000)
		next = clock_mono_ms() + 1000;
	take_terminal(&t);
	while (goes_on) {
		draw_screen(ctl, answer);
		goes_on = wait_until(&t, next);
		if (!goes_on || clock_mono_ms() < next)
			continue; /* a resize, or a key */
		next = clock_mono_ms() + ctl->interval;
		json_decref(answer);
		answer = NULL;
		rc = ctl_ask_daemon(ctl, &c->question, args, &answer);
		goes_on = rc == CTL_DONE;
	}
	give_terminal_back(&t);
	json_decref(answer);
	if (rc == CTL_DOWN)
		ctl_error("larderd on %s has ended", ctl->socket);
	return rc;
}

enum ctl_exit
ctl_run_top(struct ctl *ctl, const struct ctl_command *c, int count,
    char **words, struct evkeyvalq *args)
{
	struct frame f = {.ctl = ctl,
	    .rows = ONCE_ROWS,
	    .end = "\n",
	    .columns = 4096,
	    .left = UINT_MAX};
	json_t *answer = NULL;
	enum ctl_exit rc = ctl_ask(ctl, &c->question, args, &answer);

	(void)count;
	(void)words;
	if (rc != CTL_DONE) {
		json_decref(answer);
		return rc;
	}
	if (!ctl->json && !ctl->once && isatty(STDOUT_FILENO))
		return run_live(ctl, c, args, answer);
	json_decref(answer);
	answer = NULL;
	while (poll(NULL, 0, (int)ctl->interval) < 0 && errno == EINTR)
		;
	rc = ctl_ask(ctl, &c->question, args, &answer);
	f.seconds = seconds_of(answer);
	if (rc == CTL_DONE && ctl->json)
		ctl_print_json(answer);
	else if (rc == CTL_DONE)
		draw(&f, answer);
	if (f.begun)
		putchar('\n');
	json_decref(answer);
	return ctl_flush(rc);
}
