/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables with a header of names, as Zeek and nfdump write them. */
#pragma once

#include "flow_text.h"

/* Reads a header, the names set apart by the parser's separator. False where not all that is needed is named;
 * then the parser knows no columns. */
bool columns_read(struct flow_parser *parser, struct text header);
/* The fields of a row, trimmed; those that are unset or not there are empty. False where the row ends before
 * the last column that is needed. */
bool columns_split(const struct flow_parser *parser, struct text row, struct text out[FLOW_FIELD_COUNT]);
