#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "larder/err.h"
#include "larder/log.h"

static int saved_stderr, out;

static int
setup(void **state)
{
	int pipefd[2];

	(void)state;
	if (pipe(pipefd) != 0)
		return -1;
	saved_stderr = dup(STDERR_FILENO);
	dup2(pipefd[1], STDERR_FILENO);
	close(pipefd[1]);
	out = pipefd[0];
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(out);
	log_set_level(LOG_LEVEL_INFO);
	return 0;
}

/* The one line that was logged, without its time. */
static const char *
line(void)
{
	static char text[20000];
	ssize_t n = read(out, text, sizeof(text) - 1);

	assert_true(n > 21);
	text[n] = '\0';
	assert_int_equal(text[10], 'T');
	assert_int_equal(text[19], 'Z');
	assert_int_equal(text[20], ' ');
	assert_int_equal(text[n - 1], '\n');
	return text + 21;
}

static void
lines(void **state)
{
	(void)state;
	log_info("hello %d", 1);
	assert_string_equal(line(), "info hello 1\n");
	errno = ENOENT;
	log_warn("open");
	assert_int_equal(errno, ENOENT);
	assert_string_equal(line(), "warn open: No such file or directory\n");
	log_errorx("x");
	assert_string_equal(line(), "error x\n");
}

static void
controls_are_escaped(void **state)
{
	(void)state;
	log_warnx("a\nb\033[31m\x7f \xc2\x9b \xc3\xa9 \xc2");
	assert_string_equal(
	    line(), "warn a\\x0ab\\x1b[31m\\x7f \\xc2\\x9b \xc3\xa9 \xc2\n");
}

static void
long_messages_are_cut(void **state)
{
	char big[5000];

	(void)state;
	memset(big, '\n', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	errno = ENOENT;
	log_error("%s", big);
	assert_int_equal(strlen(line()), 6 + 2047 * 4 + 1);
}

static void
levels(void **state)
{
	enum log_level level;

	(void)state;
	log_debug("not seen");
	log_info("seen");
	assert_string_equal(line(), "info seen\n");
	assert_int_equal(log_level_parse("debug", &level), 0);
	log_set_level(level);
	log_debug("seen");
	assert_string_equal(line(), "debug seen\n");
	assert_int_equal(log_level_parse("verbose", &level), LARDER_INVALID);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(lines, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		controls_are_escaped, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		long_messages_are_cut, setup, teardown),
	    cmocka_unit_test_setup_teardown(levels, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
