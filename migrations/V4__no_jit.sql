-- Compiling a statement takes tens to hundreds of milliseconds, and every statement here reads some rows of an index. The planner decides by
-- what it expects, which for a context grows with the conversation, although what is read does not: at some hundred thousand messages it
-- would compile.

alter role scrollback_functions set jit = off;
