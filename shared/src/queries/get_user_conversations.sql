create function get_user_conversations(
    of_user text, before_time timestamptz, before_id uuid, wanted bigint, bytes bigint, retention integer
)
returns setof conversation_row
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan
-- The index has the order of the list. The planner expects few rows, and would choose by chance between reading in order and sorting.
set enable_bitmapscan = off as $$
#variable_conflict use_variable
begin
    return query
    select shown.*
    from (
        select c as row, c.updated_at, c.id,
            -- The running total cuts the page to what a response can hold.
            sum(octet_length(c.metadata::text)) over newest_first - octet_length(c.metadata::text) as bytes_before
        from public.conversations c
        where c.user_id = of_user
            and is_kept(c.expires_at, c.updated_at, retention)
            and (c.updated_at, c.id)
                < (coalesce(before_time, 'infinity'), coalesce(before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
        window newest_first as (order by c.updated_at desc, c.id desc rows unbounded preceding)
        order by c.updated_at desc, c.id desc
        limit wanted
    ) page, conversation_row(page.row, null) shown
    where page.bytes_before <= bytes
    order by page.updated_at desc, page.id desc;
end
$$;
