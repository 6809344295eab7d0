/*
 * The page's own text, put into the program when it is built: see the Makefile
 * and src/admin/page/.
 */
#ifndef ADMIN_ASSET_H
#define ADMIN_ASSET_H

#include "larder/bytes.h"

struct bytes asset_html(void); /* with @STYLE@ and @SCRIPT@ in their places */
struct bytes asset_css(void);
struct bytes asset_js(void);

#endif
