-- The bytes of a message, at least, in a response. A page is cut to size by them without reading what will not be sent.
--
-- This is an SQL function, because PostgreSQL puts its expression into the statement that calls it.
create function message_size(content text, content_parts text, tool_calls text, tool_call_id text, name text, metadata text, extra text)
returns integer
language sql immutable parallel safe as $$
    select coalesce(octet_length($1), 0) + coalesce(octet_length($2), 0) + coalesce(octet_length($3), 0)
        + coalesce(octet_length($4), 0) + coalesce(octet_length($5), 0) + octet_length($6)
        + coalesce(octet_length($7), 0)
$$;

-- The characters that a model reads, which get-context's max_chars counts.
create function message_characters(content text, content_parts text, tool_calls text) returns integer
language sql immutable parallel safe as $$
    select coalesce(char_length($1), 0) + coalesce(char_length($2), 0) + coalesce(char_length($3), 0)
$$;

-- A message's bytes in a response, at least. Feedback is no part of `size`, because it changes nothing that a model reads.
create function message_bytes(size integer, feedback json) returns integer
language sql immutable parallel safe as $$
    select $1 + coalesce(octet_length($2::text), 0)
$$;
