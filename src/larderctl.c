/*
 * larderctl: the administrator's command, see admin/ctl_main.c.
 */
#include "admin/ctl.h"

int
main(int argc, char **argv)
{
	return ctl_main(argc, argv);
}
