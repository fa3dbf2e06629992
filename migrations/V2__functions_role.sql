-- The role that the functions run as: it reads and writes rows, and can do nothing else.
-- A role belongs to the server and not to one database, so it may be here already.
-- It can't log in yet: `cargo xtask migrate` gives it a password, from FUNCTIONS_PASSWORD, and with it the right to.

do $$
begin
    if not exists (select from pg_roles where rolname = 'scrollback_functions') then
        create role scrollback_functions nologin;
    end if;
end
$$;

-- On the role, because a pooler refuses it as a connection option and leaks it to other clients as a `set`.
-- Longer than a function waits: what it ends is a statement that nobody is waiting for any more.
alter role scrollback_functions set statement_timeout = '12s';

grant usage on schema public to scrollback_functions;
grant select, insert, update, delete on conversations, messages to scrollback_functions;
