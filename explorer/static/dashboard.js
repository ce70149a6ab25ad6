// Nothing here is needed to read a page: it adds the keyboard, and spares a click.
"use strict";
