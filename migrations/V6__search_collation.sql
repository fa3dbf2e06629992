-- Search compares letters without case, by the rules of this collation. A database that was made with the locale C knows the case of ASCII
-- letters only, and would not find `ÄRGER` by `ärger`. So the rules must not depend on how the database was made.
--
-- No collation for Unicode is in every PostgreSQL, so the first of these is taken:
-- 1. `pg_c_utf8` is part of PostgreSQL itself, since version 17.
-- 2. `und-x-icu` is there if PostgreSQL was built with ICU, as it is on Neon, RDS and Debian.
-- 3. `C.utf8` is there if the system's library has it. Versions 15 and 16 without ICU have nothing else.
-- The three find the same in the tests. No index depends on the collation, so an update of a library cannot make one wrong.

do $$
declare
    source text;
begin
    select c.collname into source
    from unnest(array['pg_c_utf8', 'und-x-icu', 'C.utf8']) with ordinality as known (name, rank)
        join pg_catalog.pg_collation c
            on c.collname = known.name and c.collnamespace = 'pg_catalog'::regnamespace
            and c.collencoding in (-1, pg_char_to_encoding('UTF8'))
    order by known.rank
    limit 1;
    if source is null then
        raise exception 'this PostgreSQL has none of the collations pg_c_utf8, und-x-icu and C.utf8, which search needs'
            using hint = 'Use PostgreSQL 17 or later, or a build with ICU.';
    end if;
    execute format('create collation public.search_text from pg_catalog.%I', source);
end
$$;
