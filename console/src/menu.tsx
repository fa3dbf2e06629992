/** A menu behind a button. It is not modal: a modal one adds inline styles, which the Content-Security-Policy forbids. */
import { DropdownMenu } from "radix-ui";
import { useState, type ReactNode } from "react";

export interface Item {
  label: string;
  onSelect: () => void;
  danger?: boolean;
}

export function Menu({ label, children, items }: { label: string; children: ReactNode; items: (Item | null)[] }) {
  // Chosen when the menu opens: an open menu that moves to another container closes.
  const [container, setContainer] = useState<Element | null>(null);
  return (
    <DropdownMenu.Root modal={false} onOpenChange={(open) => open && setContainer(document.querySelector("main"))}>
      <DropdownMenu.Trigger asChild>
        <button type="button" className="quiet" aria-label={label} title={label}>
          {children}
        </button>
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal container={container}>
        <DropdownMenu.Content className="menu" align="end" sideOffset={4} aria-label={label}>
          {items.map((item, index) =>
            item === null ? (
              <DropdownMenu.Separator key={index} className="separator" />
            ) : (
              <DropdownMenu.Item
                key={item.label}
                className={item.danger === true ? "item danger" : "item"}
                onSelect={item.onSelect}
              >
                {item.label}
              </DropdownMenu.Item>
            ),
          )}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
