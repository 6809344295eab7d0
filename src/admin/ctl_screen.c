/*
 * What is only for a terminal.
 */
#include "admin/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_MAX 40u

void
ctl_screen_init(struct ctl *ctl)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	ctl->colour = isatty(STDOUT_FILENO) && !(no && *no) && term &&
		      strcmp(term, "dumb") != 0;
}

const char *
ctl_style(const struct ctl *ctl, enum ctl_style style)
{
	static const char *const codes[] = {
	    [CTL_PLAIN] = "\033[0m",
	    [CTL_BOLD] = "\033[1m",
	    [CTL_DIM] = "\033[2m",
	    [CTL_GOOD] = "\033[32m",
	    [CTL_WARN] = "\033[33m",
	    [CTL_BAD] = "\033[31m",
	};

	return ctl->colour ? codes[style] : "";
}

void
ctl_screen_size(int fd, unsigned *columns, unsigned *rows)
{
	struct winsize size;

	*columns = 80;
	*rows = 24;
	if (ioctl(fd, TIOCGWINSZ, &size) != 0)
		return;
	if (size.ws_col > 0)
		*columns = size.ws_col;
	if (size.ws_row > 0)
		*rows = size.ws_row;
}

/* ---- the bar ---------------------------------------------------------- */

bool
ctl_bar_wanted(const struct ctl *ctl)
{
	const char *term = getenv("TERM");

	return !ctl->quiet && isatty(STDERR_FILENO) && term &&
	       strcmp(term, "dumb") != 0;
}

void
ctl_bar_draw(const char *doing, const struct ctl_progress *progress)
{
	char bar[BAR_MAX + 1];
	unsigned columns, rows, width, full = 0;
	uint64_t done = progress->done, of = progress->of;

	ctl_screen_size(STDERR_FILENO, &columns, &rows);
	width = columns > strlen(doing) + 50   ? BAR_MAX
		: columns > strlen(doing) + 20 ? 10
					       : 0;
	if (done > of)
		done = of;
	if (of > 0)
		full = (unsigned)((double)done / (double)of * width);
	for (unsigned i = 0; i < width; i++)
		bar[i] = i < full ? '#' : '.';
	bar[width] = '\0';
	fprintf(stderr, "\r%s [%s] %3u %%\033[K", doing, bar,
	    of > 0 ? (unsigned)(100.0 * (double)done / (double)of) : 0);
	fflush(stderr);
}

void
ctl_bar_clear(void)
{
	fputs("\r\033[K", stderr);
	fflush(stderr);
}
