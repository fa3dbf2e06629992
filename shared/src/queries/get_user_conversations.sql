create function get_user_conversations(of_user text, before_time timestamptz, before_id uuid, wanted bigint, bytes bigint)
returns table (
    id uuid, user_id text, title text, metadata text, message_count bigint, created_at timestamptz, updated_at timestamptz,
    version bigint, summary_through bigint, summary_created_at timestamptz
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    select page.id, page.user_id, page.title, page.metadata, page.message_count, page.created_at, page.updated_at, page.version,
        page.summary_through, page.summary_created_at
    from (
        select c.id, c.user_id, c.title, c.metadata::text, c.message_count, c.created_at, c.updated_at, c.version,
            c.summary_through, c.summary_created_at,
            -- The running total cuts the page to what a response can hold.
            sum(octet_length(c.metadata::text)) over newest_first - octet_length(c.metadata::text) as bytes_before
        from public.conversations c
        where c.user_id = of_user
            and (c.updated_at, c.id)
                < (coalesce(before_time, 'infinity'), coalesce(before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
        window newest_first as (order by c.updated_at desc, c.id desc rows unbounded preceding)
        order by c.updated_at desc, c.id desc
        limit wanted
    ) page
    where page.bytes_before <= bytes
    order by page.updated_at desc, page.id desc;
end
$$;
