-- A JSON merge patch (RFC 7396). On json and not jsonb, so that what is not patched keeps its spelling.
create function merge_patch(target json, patch json) returns json
language plpgsql immutable as $$
begin
    if json_typeof(patch) <> 'object' then
        return patch;
    end if;
    if target is null or json_typeof(target) <> 'object' then
        target := '{}';
    end if;
    return (
        with old as (
            -- If a name is there twice, its last value counts.
            select distinct on (key) key, value, ordinal
            from json_each(target) with ordinality as member (key, value, ordinal)
            order by key, ordinal desc
        ), new as (
            select distinct on (key) key, value, ordinal
            from json_each(patch) with ordinality as member (key, value, ordinal)
            order by key, ordinal desc
        )
        -- json_object_agg would add white space, so that a patch that removes a member could make the object longer.
        select (
            '{' || coalesce(string_agg(
                to_json(key)::text || ':'
                    || case when new.value is null then old.value else merge_patch(old.value, new.value) end::text,
                ',' order by old.ordinal nulls last, new.ordinal
            ), '') || '}'
        )::json
        from old full join new using (key)
        where json_typeof(new.value) is distinct from 'null'
    );
end
$$;
