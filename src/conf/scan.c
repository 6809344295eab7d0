/*
 * libconfuse 3.3 counts a line too many behind each comment in slashes and
 * stars, takes a comment in a list for a value, drops a bare "*" or "+"
 * silently, and accepts a section that the end of the file cuts off. All of
 * these are caught here, and its include() is found (see include.c); the
 * grammar itself stays libconfuse's.
 */
#include "conf/scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "larder/err.h"

#define DEPTH_MAX 16

static int __attribute__((format(printf, 3, 4)))
fail(struct scan_fault *fault, int line, const char *format, ...)
{
	va_list ap;

	fault->line = line;
	va_start(ap, format);
	vsnprintf(fault->text, sizeof(fault->text), format, ap);
	va_end(ap);
	return LARDER_INVALID;
}

static bool
is_word(char c)
{
	return c != '\0' && strchr(" \t\r\n\"'={}()+,*|#", c) == NULL;
}

/* Behind the closing quote of the string at p, or NULL: its line has none. */
static const char *
end_of_string(const char *p)
{
	char quote = *p++;

	for (; *p && *p != '\n'; p++) {
		if (*p == '\\' && p[1] && p[1] != '\n')
			p++;
		else if (*p == quote)
			return p + 1;
	}
	return NULL;
}

/* Where the comment at p ends; p itself if there is none; NULL: it does not
 * end. */
static const char *
end_of_comment(const char *p)
{
	if (p[0] == '#' || (p[0] == '/' && p[1] == '/'))
		return p + strcspn(p, "\n");
	if (p[0] == '/' && p[1] == '*') {
		p = strstr(p + 2, "*/");
		return p ? p + 2 : NULL;
	}
	return p;
}

/* Blanks [from, to) and returns how many lines end in it. */
static int
blank(char *from, const char *to)
{
	int lines = 0;

	for (; from < to; from++) {
		if (*from == '\n')
			lines++;
		else
			*from = ' ';
	}
	return lines;
}

/* One token, comment, or piece of white space at *text; moves behind it. */
struct scan {
	char *p;
	int line;
	int open[DEPTH_MAX]; /* lines of the braces that are open */
	int depth;
};

static int
step_brace(struct scan *s, struct scan_fault *fault)
{
	if (*s->p == '}') {
		if (s->depth == 0)
			return fail(fault, s->line,
			    "nothing is open here; remove the '}'");
		s->depth--;
	} else {
		if (s->depth == DEPTH_MAX)
			return fail(fault, s->line, "too many '{' are open");
		s->open[s->depth++] = s->line;
	}
	s->p++;
	return 0;
}

static int
step(struct scan *s, struct scan_fault *fault)
{
	const char *end;

	switch (*s->p) {
	case '\n':
		s->line++;
		s->p++;
		return 0;
	case '"':
	case '\'':
		end = end_of_string(s->p);
		if (end == NULL)
			return fail(fault, s->line,
			    "the string does not end on its line; close it "
			    "with %c",
			    *s->p);
		s->p += end - s->p;
		return 0;
	case '{':
	case '}':
		return step_brace(s, fault);
	case '*':
	case '|':
		return fail(fault, s->line,
		    "'%c' cannot stand alone; put the value in quotes", *s->p);
	case '+':
		if (s->p[1] != '=')
			return fail(fault, s->line,
			    "'+' cannot stand alone; put the value in quotes");
		s->p += 2;
		return 0;
	default:
		break;
	}
	end = end_of_comment(s->p);
	if (end == NULL)
		return fail(fault, s->line,
		    "the comment does not end; close it with */");
	if (end != s->p) {
		s->line += blank(s->p, end);
		s->p += end - s->p;
	} else if (is_word(*s->p)) {
		while (is_word(*s->p))
			s->p++;
	} else {
		s->p++;
	}
	return 0;
}

int
scan_prepare(char *text, size_t n, struct scan_fault *fault)
{
	struct scan s = {.p = text, .line = 1};

	while (*s.p) {
		int rc = step(&s, fault);

		if (rc < 0)
			return rc;
	}
	if (s.p != text + n)
		return fail(
		    fault, s.line, "a NUL byte; write the file as plain text");
	if (s.depth > 0)
		return fail(fault, s.open[s.depth - 1],
		    "the '{' on this line is not closed; add a '}'");
	return 0;
}

static char *
line_start(char *text, int line)
{
	while (text && --line > 0) {
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return text;
}

/* The word at p, bare or in quotes: behind it if it is `name`, or NULL. */
static const char *
match_word(const char *p, const char *name)
{
	size_t n = strlen(name);
	bool quoted = *p == '"' || *p == '\'';

	if (strncmp(p + quoted, name, n) != 0)
		return NULL;
	p += quoted + n;
	if (quoted)
		return *p == '"' || *p == '\'' ? p + 1 : NULL;
	return is_word(*p) ? NULL : p;
}

/* Behind the token at p. */
static const char *
skip_token(const char *p)
{
	const char *end;

	if (*p == '"' || *p == '\'') {
		end = end_of_string(p);
		return end ? end : p + strlen(p);
	}
	if (!is_word(*p))
		return *p ? p + 1 : p;
	while (is_word(*p))
		p++;
	return p;
}

static const char *
skip_white(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* Behind the braces that open at p. */
static const char *
skip_braces(const char *p)
{
	int depth = 0;

	do {
		if (*p == '{')
			depth++;
		else if (*p == '}')
			depth--;
		p = skip_white(skip_token(p));
	} while (*p && depth > 0);
	return p;
}

/* The word is there, outside of quotes: is it a statement? */
static void
read_include(const char *p, int depth, struct scan_include *out)
{
	const char *string, *end;
	size_t n;

	out->from = p;
	out->wrong = depth > 0 ? "include stands in a section; write it "
				 "outside of any"
			       : "write include(\"/path/of/a/file\")";
	p = skip_white(skip_token(p));
	string = *p == '(' ? skip_white(p + 1) : p;
	end = *string == '"' || *string == '\'' ? end_of_string(string) : NULL;
	if (*p != '(' || end == NULL || *skip_white(end) != ')')
		return;
	out->to = skip_white(end) + 1;
	n = (size_t)(end - string) - 2;
	if (depth > 0)
		return;
	if (n == 0 || n >= sizeof(out->name) || memchr(string, '\\', n + 1)) {
		out->wrong = "write a path without quoting in it";
		return;
	}
	memcpy(out->name, string + 1, n);
	out->name[n] = '\0';
	out->wrong = NULL;
}

bool
scan_include(const char *text, struct scan_include *out)
{
	int depth = 0;

	for (const char *p = text; *p; p = skip_token(p)) {
		const char *end = is_word(*p) ? match_word(p, "include") : NULL;

		depth += (*p == '{') - (*p == '}');
		if (end != NULL && *skip_white(end) != '=' &&
		    *skip_white(end) != '+') {
			read_include(p, depth, out);
			return true;
		}
	}
	return false;
}

bool
scan_drop(char *text, int line, const char *name)
{
	char *p = line_start(text, line);
	const char *end = NULL;

	while (p && *p && *p != '\n' && (end = match_word(p, name)) == NULL)
		p += *p == ' ' || *p == '\t' ? 1 : skip_token(p) - p;
	if (end == NULL)
		return false;
	end = skip_white(end);
	if (*end == '=' || (*end == '+' && end[1] == '=')) {
		end = skip_white(end + 1 + (*end == '+'));
		end = *end == '{' ? skip_braces(end) : skip_token(end);
	} else {
		if (*end == '"' || *end == '\'' || is_word(*end))
			end = skip_white(skip_token(end));
		if (*end != '{')
			return false;
		end = skip_braces(end);
	}
	blank(p, end);
	return true;
}

int
scan_line_of(const char *text, int line, const char *word)
{
	int found = line, at = 1;

	for (const char *p = text; *p && at <= line;) {
		if (*p == '\n') {
			at++;
			p++;
		} else if (is_word(*p) || *p == '"' || *p == '\'') {
			if (is_word(*p) && match_word(p, word))
				found = at;
			p = skip_token(p);
		} else {
			p++;
		}
	}
	return found;
}
