"""What nautobot-pg13.sql.gz holds beside its schema: `nautobot-server shell < nautobot-populate.py`."""

from django.contrib.contenttypes.models import ContentType
from nautobot.dcim.models import *
from nautobot.extras.models import *
from nautobot.ipam.models import *
from nautobot.tenancy.models import *
active = Status.objects.get(name="Active")
tenant = Tenant.objects.create(name="Größe & Söhne", description="日本語 🔩", comments="tab\tnew\nline \\ '\"")
lt = LocationType.objects.create(name="Site", nestable=True)
lt.content_types.set(ContentType.objects.get_for_models(Device, Prefix, VLAN).values())
cf = CustomField.objects.create(key="owner", label="Owner", type="json")
cf.content_types.add(ContentType.objects.get_for_model(Device))
locations = []
for n in range(20):
    l = Location(name=f"Site {n:02d}", location_type=lt, status=active, parent=locations[n // 3] if n else None, tenant=tenant, latitude="52.370216" if n % 2 else None)
    l.validated_save(); locations.append(l)
m = Manufacturer.objects.create(name="Acme")
dt = DeviceType.objects.create(manufacturer=m, model="Switch 48", u_height=1)
role = Role.objects.create(name="Access"); role.content_types.add(ContentType.objects.get_for_model(Device))
tags = []
for n in range(5):
    t = Tag.objects.create(name=f"Tag {n}"); t.content_types.add(ContentType.objects.get_for_model(Device)); tags.append(t)
ns = Namespace.objects.create(name="lab")
p4 = Prefix(prefix="10.0.0.0/8", namespace=ns, status=active, type="container"); p4.validated_save()
for n in range(40):
    Prefix(prefix=f"10.{n}.0.0/16", namespace=ns, status=active, tenant=tenant).validated_save()
p6 = Prefix(prefix="2001:db8::/32", namespace=ns, status=active); p6.validated_save()
for n in range(150):
    d = Device(name=f"sw-{n:03d}", device_type=dt, role=role, status=active, location=locations[n % 20], serial=f"SN{n}", asset_tag=None if n % 3 else f"A{n}")
    d._custom_field_data = {"owner": {"n": n, "list": [1, 2.5, None, "ü"]}}
    d.validated_save(); d.tags.add(tags[n % 5])
    i = Interface(device=d, name="eth0", type="1000base-t", status=active, mtu=9000); i.validated_save()
    for a in (f"10.{n % 40}.0.{n + 1}/32", f"2001:db8::{n:x}/128"):
        ip = IPAddress(address=a, namespace=ns, status=active, dns_name=f"sw-{n}.example.org"); ip.validated_save()
        i.ip_addresses.add(ip)
gq = GraphQLQuery(name="names", query="{ devices { name } }"); gq.validated_save()
ConfigContext.objects.create(name="ntp", data={"ntp": ["10.0.0.1"], "deep": {"a": None}}, weight=1000)
cc = ComputedField(label="n", key="n", content_type=ContentType.objects.get_for_model(Device), template="{{ obj.name }}"); cc.validated_save()
print("devices", Device.objects.count(), "ips", IPAddress.objects.count(), "prefixes", Prefix.objects.count())
